"""What ./dev runs."""
import sys

from millrace_dev import cli

sys.exit(cli.main(sys.argv[1:]))
