import type { ErrorCatalogue } from '@blockferry/runtime'

/** What can go wrong at the target, in the applier's words. S9's codes are named in packages/disk-stream. */
export const catalogue = {
  DESCRIPTOR_MISSING: {
    summary: 'Updates of a disk arrive, but the disk is not described in the topic site-a.disks.',
    nextCommand: 'check that the tap agent runs and that MirrorMaker mirrors the topic disks',
  },
  JOURNAL_SHARE: {
    summary: 'A disk fills its share of the redo journal: what follows stays in Kafka B until there is room.',
    nextCommand:
      'npx blockferry disks: find what holds the image back (a late group member, a halted target)',
  },
  JOURNAL_FAILED: {
    summary: 'The redo journal cannot be written or made durable; nothing more is acknowledged.',
    nextCommand: 'df -h STATE_DIRECTORY; dmesg: the applier retries by itself after the repair',
  },
  CHECKPOINT_FAILED: {
    summary: 'The checkpoint cannot be written; what is in the image is not yet claimed.',
    nextCommand: 'df -h STATE_DIRECTORY; dmesg: the applier retries by itself after the repair',
  },
  CHECKPOINT_TOO_LARGE: {
    summary:
      'The checkpoint of all disks together no longer fits its file: nothing more is claimed, and after a restart nothing more acknowledged.',
    nextCommand: 'raise checkpointBytesMax and restart the applier; or spread the disks over more appliers',
  },
  TARGET_FAILED: {
    summary: 'The target image cannot be written.',
    nextCommand: 'check the target storage: df -h; dmesg: the applier retries by itself after the repair',
  },
  TARGET_LOCKED: {
    summary: 'Another process holds the target image.',
    nextCommand: 'find it with: lsof IMAGE; stop it, the applier retries by itself',
  },
  TARGET_NOT_CONFIGURED: {
    summary: 'No target is configured for this disk.',
    nextCommand: 'add id=DISK,target=PATH to the setting disks, or set targetDirectory',
  },
  IMAGE_WRONG_SIZE: {
    summary:
      'The target image has another size than the disk: it was shrunk, grown or belongs to something else.',
    nextCommand:
      'put the right image back; or move it away together with the state directory for a full resync',
  },
  IMAGE_OF_OTHER_DISK: {
    summary: 'The target image belongs to another disk.',
    nextCommand: 'correct the target path of the disk; nothing was written',
  },
  IMAGE_REPLACED: {
    summary: 'The target image is not the file that the checkpoint speaks of.',
    nextCommand:
      'put the original image back; or move it away together with the state directory for a full resync',
  },
  IMAGE_MISSING: {
    summary: 'The target image that the checkpoint speaks of is gone.',
    nextCommand: 'put the image back; or move the state directory away too for a full resync',
  },
  IMAGE_UNKNOWN: {
    summary: 'The target file holds data that no applier wrote.',
    nextCommand: 'choose another target path, or remove the file if nobody needs it',
  },
  EXTENT_BEYOND_DISK: {
    summary: 'An update set writes beyond the end of its disk.',
    nextCommand: 'npx blockferry topic inspect: look at the set named in the details; report the defect',
  },
  GEOMETRY_UNSUPPORTED: {
    summary: 'The disk was resized at the source; this version cannot follow.',
    nextCommand: 'register the disk anew under another id with a target of the new size',
  },
  MIRROR_UNREADABLE: {
    summary: 'The mirrored topic cannot be read from Kafka B.',
    nextCommand: 'check the brokers of the target site; the applier retries by itself',
  },
  UNKNOWN_DISK: {
    summary: 'There is no such disk here.',
    nextCommand: 'npx blockferry disks',
  },
} as const satisfies ErrorCatalogue

export type ApplierCode = keyof typeof catalogue
