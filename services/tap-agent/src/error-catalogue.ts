import type { ErrorCatalogue } from '@blockferry/runtime'
import { faultsOf } from '@blockferry/runtime'

/** Every code the tap agent itself reports; those of its packages are in their own catalogues. */
export const catalogue = {
  SOURCE_SIZE_INVALID: {
    summary: 'The source has another size than configured.',
    nextCommand: 'See stat -c %s SOURCE, then correct size= of the disk, or leave it out.',
  },
  SOURCE_MISSING: {
    summary:
      'The source of a disk that was served before is gone. It is not created anew: an empty disk would be copied over the target.',
    nextCommand:
      'findmnt -T SOURCE; ls -l SOURCE   # mount its file system or put the file back: the disk opens by itself',
  },
  SOURCE_RESIZED: {
    summary:
      'The source has another size than the disk had when it was last served; this version cannot follow.',
    nextCommand: 'stat -c %s SOURCE   # put the size back (truncate --size), or give the disk another id',
  },
  SOURCE_REPLACED: {
    summary:
      'The source is another file than the one last served (restored, copied or moved); the disk is synchronised anew.',
    nextCommand:
      'None if the file is the right one: the resync starts by itself. Else stop the agent and put the old one back.',
  },
  SPOOL_FRAME_INVALID: {
    summary: 'A frame of the spool has a right checksum and a wrong content; the disk is synchronised anew.',
    nextCommand: 'Check the state volume: smartctl -a, dmesg; the resync starts by itself.',
  },
  SPOOL_CORRUPT: {
    summary: 'The spool ends before what was durable, or is damaged inside; the disk is synchronised anew.',
    nextCommand: 'Check the state volume: smartctl -a, dmesg; the resync starts by itself.',
  },
  CONTROL_DAMAGED: {
    summary:
      'One of the two control slots of the disk is damaged, perhaps the newer one: writes may be owed that it told of. The disk is served and synchronised anew.',
    nextCommand: 'Check the state volume: smartctl -a, dmesg; the resync starts by itself.',
  },
  CONTROL_LOST: {
    summary:
      'Both control slots of the disk are damaged: what it owed is unknown. The disk is served and synchronised anew.',
    nextCommand: 'Check the state volume: smartctl -a, dmesg; the resync starts by itself.',
  },
  STAMP_DAMAGED: {
    summary:
      'One of the two slots of the state directory’s stamp is damaged, perhaps the newer one; the stamp goes on beyond both.',
    nextCommand: 'Check the state volume: smartctl -a, dmesg.',
  },
  STAMP_LOST: {
    summary:
      'Both slots of the state directory’s stamp are damaged; the agent goes on under a new id, and earlier copies of the directory are no longer recognised by it.',
    nextCommand: 'Check the state volume: smartctl -a, dmesg.',
  },
  STATE_VERSION_UNKNOWN: {
    summary: 'The state of the disk was written by a later version of the agent.',
    nextCommand: 'Run the later version again; or move STATE/disks/ID away for a full resync.',
  },
  SPOOL_FULL: {
    summary:
      'The spool, or all spools of the host together, reached their limit while Kafka was away; the guest goes on, a full resync follows.',
    nextCommand: 'Bring Kafka back, or raise spoolBytesMax or spoolVolumeShare; see the volume: df',
  },
  SPOOL_FAILED: {
    summary:
      'The spool could not be written; the guest goes on, a new spool and a full resync follow by themselves.',
    nextCommand: 'Check space and health of the state volume: df, dmesg; no restart is needed.',
  },
  SPOOL_SLOW: {
    summary:
      'Spool appends stayed above 20 ms at the 99th percentile for 5 s, or hung; the guest goes on without the spool.',
    nextCommand: 'Move the state directory to a faster volume.',
  },
  STATE_VOLUME_FAILED: {
    summary:
      'The state volume cannot be written, or hangs: nothing would remember a write. Writes wait 30 s and are refused then; a disk that starts is not served.',
    nextCommand: 'Check space and health of the state volume: df, dmesg.',
  },
  LOCAL_STORAGE_FAILED: {
    summary: 'The disk\u2019s own storage failed; the guest gets its error, the agent retries opening it.',
    nextCommand: 'Check the storage behind the source: df -h SOURCE; dmesg.',
  },
  HOST_RESTARTED: {
    summary: 'The host restarted without a clean shutdown of the agent; the disk is synchronised anew.',
    nextCommand: 'None: the resync starts by itself.',
  },
  RESYNC_REQUESTED: {
    summary: 'The target asked for a resync because its stream has a gap.',
    nextCommand: 'None: the resync starts by itself.',
  },
  AWAITING_KAFKA: {
    summary: 'A new disk serves its guest while Kafka of this site cannot be reached; its first sync waits.',
    nextCommand: 'Bring Kafka of this site up; check kafkaBrokers.',
  },
  KAFKA_UNREACHABLE: {
    summary: 'Kafka of this site cannot be reached or refuses; writes wait, in order, in the spool.',
    nextCommand: 'Bring Kafka of this site up; check kafkaBrokers.',
  },
  FACTS_UNREADABLE: {
    summary:
      'A record that tells who owns a disk, or what the target has, cannot be read; streams go on, but no generation is begun.',
    nextCommand: 'Update this agent; see the record: npx blockferry topic inspect site-b.disks',
  },
  NOT_CONVERGING: {
    summary: 'Three resyncs in a row ran into the spool limit: the guest writes more than the link carries.',
    nextCommand: 'Raise spoolBytesMax or the bandwidth, or let the guest write less.',
  },
  UNKNOWN_DISK: {
    summary: 'No disk of this agent has that id.',
    nextCommand: 'List the disks: GET /v1/disks',
  },
  UNKNOWN_GROUP: {
    summary: 'No disk of this agent belongs to that group.',
    nextCommand: 'List the disks and their groups: GET /v1/disks',
  },
  CUT_NOT_POSSIBLE: {
    summary: 'A member of the group is not in step with its stream, so no recovery point can be cut now.',
    nextCommand: 'See which member and why: GET /v1/disks',
  },
  CUT_LOST: {
    summary: 'The recovery point was numbered, but the spool of a member failed before it was written.',
    nextCommand: 'Repeat the request with another request id once every member is STREAMING.',
  },
  WRITE_REFUSED: {
    summary: 'The disk refuses writes at present.',
    nextCommand: 'See why: GET /v1/disks',
  },
} as const satisfies ErrorCatalogue

export const fault = faultsOf(catalogue)
