"""The ablation table: its rows, its tasks, and what they say."""
from .tasks import TASKS, Task, menagerie_task, photo_task

__all__ = ["TASKS", "Task", "menagerie_task", "photo_task"]
