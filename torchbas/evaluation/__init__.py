"""WSOL evaluation: protocols, streaming metrics, heatmap folders."""
