"""Figure 2 of the paper, one box per file."""

from .bas import BAS as BAS
from .bas import create_model as create_model
from .generator import Generator as Generator
