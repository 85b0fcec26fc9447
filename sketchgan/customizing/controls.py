"""Controls: the one thing that may change while a customisation runs.

A notebook trains in a thread of its own while the reader goes on drawing, moves a slider or presses Stop.  Those
callbacks arrive on any thread and at any moment; training reads all of them together, once, at the start of a step.
A wrong value is refused where it is set, on the thread of whoever set it, so that training never stumbles over it.
"""

import threading
import time
from typing import Annotated

import torch

from ..files.checks import Weight, check
