"""The commands: python -m sketchgan {customize,generate,fewshot,portrait,pretrain,hub,prepare,tune,ablations} --help"""
import sys
from importlib import import_module

COMMANDS = {  # name -> (module with a `main(argv)`, what it does)
    "customize": ("customizing.command", "turn a GAN into your own with a few sketches"),
    "generate": ("editing.command", "samples, films, edits and mixtures of GANs as files"),
    "pretrain": ("pretraining.command", "train what ships: base GANs, the sketcher, the judge"),
    "fewshot": ("fewshot.command", "label a few samples, then paint layouts and get pictures of them"),
    "hub": ("files.hub", "list and fetch published weights, sketches and photographs"),
    "prepare": ("photos.preparation", "make a data set of squares of a folder, a zip or an LMDB"),
    "portrait": ("portraits.command", "redraw pictures in the style of an example"),
    "tune": ("ops.tuning", "compile the operators, and find out where they are faster on this machine"),
    "ablations": ("study.ablations", "run the rows of the ablation table"),
}


def main(argv: list[str] | None = None) -> None:
    """Hands the rest of the command line over to the command that it names first."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in COMMANDS:
        asked = bool(argv) and argv[0] not in ("-h", "--help")
        lines = "".join(f"    {name:12} {what}\n" for name, (_, what) in COMMANDS.items())
        text = f"usage: python -m sketchgan COMMAND ...; add --help after one of\n{lines}"
        print(f"there is no command {argv[0]!r}\n{text}" if asked else text, end="",
              file=sys.stderr if asked else sys.stdout)
        raise SystemExit(2 if asked or not argv else 0)
    module, _ = COMMANDS[argv[0]]
    import_module(f"sketchgan.{module}").main(argv[1:])


if __name__ == "__main__":
    main()
