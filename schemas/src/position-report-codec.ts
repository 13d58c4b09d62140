import type { ApplierState, PositionReport } from '@blockferry/disk-stream'
import type { AvroReader } from './avro-reader.ts'
import { AvroWriter } from './avro-writer.ts'
import { readPosition, writePosition } from './generation-codec.ts'
import { schemas, startMessage } from './single-object.ts'

/** In the order of the schema's symbols. */
const states = [
  'WAITING',
  'RESYNCING',
  'CONSISTENT',
  'RECOVERING',
  'HALTED',
] as const satisfies readonly ApplierState[]

/** A PositionReport as a message. */
export function encodePositionReport(report: PositionReport): Buffer {
  const to = new AvroWriter(512)
  startMessage(to, schemas.PositionReport)
  to.id('disk id', report.diskId)
  to.id('site', report.site)
  to.choice('state', states, report.state)
  to.nullable(report.code, (code) => to.id('code', code))
  to.nullable(report.received, (position) => writePosition(to, position))
  to.nullable(report.applied, (position) => writePosition(to, position))
  to.double('reported at', report.reportedAtMs)
  to.nullable(report.echo, (echo) => {
    to.double('source time', echo.sourceTimeMs)
    to.double('arrived at', echo.arrivedAtMs)
  })
  return to.finish()
}

export function readPositionReport(from: AvroReader): PositionReport {
  return {
    diskId: from.id('disk id'),
    site: from.id('site'),
    state: from.choice('state', states),
    code: from.nullable('code', () => from.id('code')),
    received: from.nullable('received', () => readPosition(from)),
    applied: from.nullable('applied', () => readPosition(from)),
    reportedAtMs: from.double('reported at'),
    echo: from.nullable('echo', () => ({
      sourceTimeMs: from.double('source time'),
      arrivedAtMs: from.double('arrived at'),
    })),
  }
}
