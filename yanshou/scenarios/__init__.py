"""The public lists (榜单) as data, one folder per list. Read by `yanshou.harness.listing`; never code."""
