"""From images and classes to heatmaps, thresholds, boxes and masks (Fig. 3)."""
