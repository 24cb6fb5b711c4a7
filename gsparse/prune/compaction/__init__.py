"""Removes what pruning left dead: smaller layers, the same outputs."""

from gsparse.prune.compaction.groups import ChannelGroup, Member, channel_groups

__all__ = ["ChannelGroup", "Member", "channel_groups"]
