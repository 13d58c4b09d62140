import type { Heartbeat, HeartbeatDisk, SyncProgress, TapState } from '@blockferry/disk-stream'
import type { AvroReader } from './avro-reader.ts'
import { AvroWriter } from './avro-writer.ts'
import { readPosition, readStamp, writePosition, writeStamp } from './generation-codec.ts'
import { heartbeatDisksMax } from './limits.ts'
import { schemas, startMessage } from './single-object.ts'

/** In the order of the schemas' symbols. */
const states = [
  'STREAMING',
  'SPOOLING',
  'RESYNCING',
  'AHEAD',
  'FAILED',
] as const satisfies readonly TapState[]
const phases = ['full-sync', 'resync'] as const satisfies readonly SyncProgress['phase'][]

const diskBytesTypical = 96

/** A Heartbeat as a message. */
export function encodeHeartbeat(heartbeat: Heartbeat): Buffer {
  const to = new AvroWriter(512 + diskBytesTypical * heartbeat.disks.length)
  startMessage(to, schemas.Heartbeat)
  to.id('agent id', heartbeat.agentId)
  to.id('site', heartbeat.site)
  to.double('source time', heartbeat.sourceTimeMs)
  writeStamp(to, heartbeat.stamp)
  to.nullable(heartbeat.clockSkew, (skew) => {
    to.double('skew estimate', skew.estimateMs)
    to.double('skew error', skew.errorMs)
  })
  to.array(heartbeat.disks, { what: 'disks', countMax: heartbeatDisksMax }, (disk) => writeDisk(to, disk))
  to.nullable(heartbeat.resumeInputOffset, (offset) => to.offset('resume input offset', offset))
  return to.finish()
}

export function readHeartbeat(from: AvroReader): Heartbeat {
  return {
    agentId: from.id('agent id'),
    site: from.id('site'),
    sourceTimeMs: from.double('source time'),
    stamp: readStamp(from),
    clockSkew: from.nullable('clock skew', () => ({
      estimateMs: from.double('skew estimate'),
      errorMs: from.double('skew error'),
    })),
    disks: from.array('disks', heartbeatDisksMax, () => readDisk(from)),
    resumeInputOffset: from.nullable('resume input offset', () => from.offset('resume input offset')),
  }
}

function writeDisk(to: AvroWriter, disk: HeartbeatDisk): void {
  to.id('disk id', disk.diskId)
  to.choice('state', states, disk.state)
  to.nullable(disk.code, (code) => to.id('code', code))
  to.nullable(disk.position, (position) => writePosition(to, position))
  to.nullable(disk.consistentAsOfMs, (timeMs) => to.double('consistent as of', timeMs))
  to.uint('spooled events', disk.spooledEvents)
  to.uint('spooled bytes', disk.spooledBytes)
  to.nullable(disk.oldestSpooledAtMs, (timeMs) => to.double('oldest spooled at', timeMs))
  to.nullable(disk.progress, (progress) => {
    to.choice('phase', phases, progress.phase)
    to.uint('done bytes', progress.doneBytes)
    to.uint('total bytes', progress.totalBytes)
    to.nullable(progress.etaMs, (etaMs) => to.double('ETA', etaMs))
  })
}

function readDisk(from: AvroReader): HeartbeatDisk {
  return {
    diskId: from.id('disk id'),
    state: from.choice('state', states),
    code: from.nullable('code', () => from.id('code')),
    position: from.nullable('position', () => readPosition(from)),
    consistentAsOfMs: from.nullable('consistent as of', () => from.double('consistent as of')),
    spooledEvents: from.uint('spooled events'),
    spooledBytes: from.uint('spooled bytes'),
    oldestSpooledAtMs: from.nullable('oldest spooled at', () => from.double('oldest spooled at')),
    progress: from.nullable('progress', () => ({
      phase: from.choice('phase', phases),
      doneBytes: from.uint('done bytes'),
      totalBytes: from.uint('total bytes'),
      etaMs: from.nullable('ETA', () => from.double('ETA')),
    })),
  }
}
