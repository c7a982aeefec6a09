// Browsers start no worker from a file on disk. There the script of a worker runs in a hidden frame
// instead, with the messages of a worker, so that the search works in the folder of the site.
if (location.protocol === "file:") {
  class IFrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.waiting = []; // messages that came before the frame was ready
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = "<!doctype html><script>" +
        "self.importScripts = (...urls) => urls.reduce((before, url) => before.then(() => " +
        "new Promise((done, failed) => { const s = document.createElement('script'); s.src = url; " +
        "s.onload = done; s.onerror = failed; document.head.append(s); })), Promise.resolve());" +
        "self.postMessage = (data) => parent.dispatchEvent(new CustomEvent('from-worker', " +
        "{ detail: { frame: self.frameElement, data } }));" +
        "</" + "script><script src='" + url + "'></" + "script>";
      window.addEventListener("from-worker", (event) => {
        if (event.detail.frame === frame) {
          this.dispatchEvent(new MessageEvent("message", { data: event.detail.data }));
        }
      });
      frame.addEventListener("load", () => {
        this.frame = frame;
        this.waiting.splice(0).forEach((data) => this.postMessage(data));
      });
      // The search asks at once, before the document has a body.
      const attach = () => document.body.append(frame);
      document.body ? attach() : document.addEventListener("DOMContentLoaded", attach);
    }
    postMessage(data) {
      if (!this.frame) {
        this.waiting.push(data);
        return;
      }
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
    terminate() {
      this.frame?.remove();
    }
  }
  window.IFrameWorker = IFrameWorker;
  window.Worker = IFrameWorker;
}
