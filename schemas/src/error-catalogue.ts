import type { ErrorCatalogue } from '@blockferry/runtime'
import { faultsOf } from '@blockferry/runtime'

/** What can be wrong with bytes that claim to be one of our records. */
export const catalogue = {
  UNKNOWN_SCHEMA: {
    summary: 'A message carries a schema fingerprint that this program does not know.',
    nextCommand:
      'Upgrade this service (order: appliers, aggregators, taps), then look at the message: npx blockferry topic inspect',
  },
  TRUNCATED_RECORD: {
    summary: 'A message ends before the record in it does.',
    nextCommand: 'npx blockferry topic inspect',
  },
  RECORD_TOO_LONG: {
    summary: 'A message, or a length or count inside it, is beyond its limit.',
    nextCommand: 'npx blockferry topic inspect',
  },
  INVALID_RECORD: {
    summary: 'A message decodes to values that no writer of ours produces.',
    nextCommand: 'npx blockferry topic inspect',
  },
  PAYLOAD_CRC: {
    summary: 'The payload of a message does not match its checksum: it was damaged on the way or at rest.',
    nextCommand: 'Check the disks and memory of the Kafka brokers, then: npx blockferry topic inspect',
  },
  PAYLOAD_UNPACK: {
    summary: 'The compressed payload of an update set does not unpack to the length its extents claim.',
    nextCommand: 'npx blockferry topic inspect',
  },
} as const satisfies ErrorCatalogue

export const fault = faultsOf(catalogue)
