"""Commands that are killed at random moments and run again end as if nothing had happened.

Every other time all processes of a command are killed at once, as by a scheduler, else the command
itself, as for want of memory.
"""

import os
import random
import shutil
import signal
import time

import pytest

KILLS = int(os.environ.get("CAMPAIGN_KILLS", 4))  # of each command


@pytest.fixture
def killed(start, run, tmp_path):
    """`killed(command, seed, seconds)`: a command that takes so long, with kills, to its end.

    It writes to the folder `killed`. Where it comes to its end before a kill, it begins anew.
    """

    def to_the_end(command, seed, seconds):
        draw, moments = random.Random(seed), 0
        for number in range(KILLS):
            process = start(command)
            if process.wait(draw.uniform(0.1, 1) * seconds) is not None:
                assert process.wait() == 0, process.output
                shutil.rmtree(tmp_path / "killed")
                continue
            if number % 2:
                process.signal_all(signal.SIGKILL)
            else:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.seconds_to_end()
            moments += 1
        run(command)
        assert process.shared_memory() == []
        print(f"{command.split()[0]}: killed {moments} times")

    return to_the_end


@pytest.fixture
def timed(run):
    """`timed(command, ...)` runs `command("whole", ...)` at one go: how many seconds it takes.

    Nothing of it is compiled then, nor in the runs that are killed.
    """

    def seconds(command, *arguments):
        run(command("first", *arguments))
        began = time.monotonic()
        run(command("whole", *arguments))
        return time.monotonic() - began

    return seconds


@pytest.mark.parametrize("workers", [0, 1])
def test_train(tmp_path, train, timed, killed, same_training, workers):
    seconds = timed(train, workers)
    killed(train("killed", workers), workers, seconds)
    same_training(tmp_path / "whole", tmp_path / "killed")


def test_finetune(tmp_path, trained, train, timed, killed, same_training):
    def finetune(name):
        page = f"--config=finetune --config.weights.file={trained}"
        source = "--config.data.source={'name':'synthetic','size':64}"
        command = train(name).replace("--config=quickstart", page)
        return f"{command} {source}".replace(
            " --config.data.source.size=64 --config.model.layers=1", ""
        )

    killed(finetune("killed"), 4, timed(finetune))
    same_training(tmp_path / "whole", tmp_path / "killed")


def test_predict(tmp_path, predict, timed, killed, same_files):
    killed(predict("killed", 1), 2, timed(predict, 1))
    same_files(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("workers", [0, 2])
def test_pack(tmp_path, pack, timed, killed, same_files, workers):
    killed(pack("killed", workers), workers, timed(pack, workers))
    same_files(tmp_path / "whole", tmp_path / "killed")
