"""Prediction of more photos than one process takes: the shard is the unit of work, its Parquet file that of commit."""
