"""python -m sluicegate_engine, where the console script is not installed."""

from sluicegate_engine.cli import main

raise SystemExit(main())
