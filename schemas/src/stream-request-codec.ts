import type { RequestKind, StreamRequest } from '@blockferry/disk-stream'
import type { AvroReader } from './avro-reader.ts'
import { AvroWriter } from './avro-writer.ts'
import { textBytesMax } from './limits.ts'
import { schemas, startMessage } from './single-object.ts'

/** In the order of the schema's symbols. */
const kinds = ['resend', 'resync'] as const satisfies readonly RequestKind[]

/** A StreamRequest as a message. */
export function encodeStreamRequest(request: StreamRequest): Buffer {
  const to = new AvroWriter(512)
  startMessage(to, schemas.StreamRequest)
  to.id('request id', request.requestId)
  to.choice('kind', kinds, request.kind)
  to.id('disk id', request.diskId)
  to.uint('expected generation', request.expectedGeneration)
  to.uint('from sequence', request.fromSequence)
  to.string('reason', request.reason, textBytesMax)
  to.double('created at', request.createdAtMs)
  to.double('expires at', request.expiresAtMs)
  return to.finish()
}

export function readStreamRequest(from: AvroReader): StreamRequest {
  return {
    requestId: from.id('request id'),
    kind: from.choice('kind', kinds),
    diskId: from.id('disk id'),
    expectedGeneration: from.uint('expected generation'),
    fromSequence: from.uint('from sequence'),
    reason: from.string('reason', textBytesMax),
    createdAtMs: from.double('created at'),
    expiresAtMs: from.double('expires at'),
  }
}
