"""From images to nuclei with a trained network."""
