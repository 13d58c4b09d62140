import { type ErrorCatalogue, faultsOf } from '@blockferry/runtime'

/** What the aggregator itself can find wrong; decoding and Kafka have their own catalogues. */
export const catalogue = {
  CHAIN_BROKEN: {
    summary: 'The events of a group do not give the chain that the group claims: it was damaged on its way.',
    nextCommand: 'Check the disks and memory of the Kafka brokers, then: npx blockferry topic inspect writes',
  },
  UNEXPECTED_RECORD: {
    summary: 'The topic of raw writes holds a record that does not belong there.',
    nextCommand: 'Find who else writes to the topic: npx blockferry topic inspect writes',
  },
  RECORD_PASSED_OVER: {
    summary:
      'A record of the raw writes, or a stored batch of them, stayed unreadable over all re-reads and was left out; its disk shows a GAP at the target, which has the source send it again.',
    nextCommand:
      'Watch the disk recover: npx blockferry lag; check the disks and memory of the Kafka brokers',
  },
  INPUT_TRUNCATED: {
    summary: 'Retention of the raw writes outran the aggregator: records were deleted before they were read.',
    nextCommand: 'Watch the disks recover: npx blockferry lag; give the topic writes more retention',
  },
  INPUT_REPLACED: {
    summary: 'The raw writes end before the place where the aggregator stood: Kafka lost or replaced them.',
    nextCommand: 'Watch the disks recover: npx blockferry lag; check the Kafka brokers at the source site',
  },
} as const satisfies ErrorCatalogue

export const fault = faultsOf(catalogue)
