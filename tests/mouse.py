"""What the browser sends to a canvas when somebody draws, for tests without a browser."""


def send(pad, kind, *args):
    """One event: a kind of the mouse with x, y in pixels of the canvas, or a kind of touch with its points."""
    event = {"event": kind, "touches": args} if kind.startswith("touch") else {"event": kind}
    if args and not kind.startswith("touch"):
        event |= {"x": args[0], "y": args[1]}
    pad.canvas._handle_frontend_event(None, event, [])


def draw(pad, *points):
    """One stroke of the mouse, in pixels of the canvas."""
    send(pad, "mouse_down", *points[0])
    for point in points[1:]:
        send(pad, "mouse_move", *point)
    send(pad, "mouse_up", *points[-1])
