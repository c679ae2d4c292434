"""A trained model inside annotation tools: a backend of Label Studio, a function of CVAT. Imports nothing heavy."""
