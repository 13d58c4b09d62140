import type Decoder from 'kafkajs/src/protocol/decoder.js'
import type Encoder from 'kafkajs/src/protocol/encoder.js'

const topicIdBytes = 16

/** No topic: asked for by name. */
export const noTopicId = '00000000-0000-0000-0000-000000000000'

export function writeTopicId(encoder: Encoder, topicId: string): Encoder {
  return encoder.writeBuffer(Buffer.from(topicId.replaceAll('-', ''), 'hex'))
}

/** Hexadecimal with hyphens. */
export function readTopicId(decoder: Decoder): string {
  const hex = decoder.readBytes(topicIdBytes).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
