import type { ErrorCatalogue } from '@blockferry/runtime'

/** Why a disk's target stands HALTED: the answers of the apply rule (S9). */
export const catalogue = {
  GAP: {
    summary: 'Events of the stream are missing between what the target holds and what arrived.',
    nextCommand:
      'none at first: the applier asks the source for a re-send, then for a full resync; follow it with "blockferry lag --watch"',
  },
  DIVERGED: {
    summary: 'The arriving history has the same numbers as the target holds, but other content.',
    nextCommand:
      'compare the generations of both sites with "blockferry disks"; the disk needs a full resync',
  },
  SPLIT_BRAIN: {
    summary: 'Two writers claim the same disk: a generation arrived that does not continue this lineage.',
    nextCommand:
      'decide which site owns the disk: compare "blockferry disks" at both sites before anything else',
  },
  SOURCE_REVERTED: {
    summary:
      'The source agent runs on an older copy of its state directory than the target has already seen.',
    nextCommand: 'find out why the state directory or its machine was put back; the disk needs a full resync',
  },
  BASE_BEHIND: {
    summary: 'A resync arrived that starts from a position this target does not hold.',
    nextCommand: 'none at first: the disk needs a full resync; follow it with "blockferry lag --watch"',
  },
} as const satisfies ErrorCatalogue
