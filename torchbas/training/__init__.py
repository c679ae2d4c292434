"""Training of methods, of IRN's boundary network and of segmenters, on Lightning Fabric."""
