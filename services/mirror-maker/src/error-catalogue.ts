import { type ErrorCatalogue, faultsOf } from '@blockferry/runtime'

/** What the mirror-maker itself can find wrong; Kafka and supervision have their own catalogues. */
export const catalogue = {
  KAFKA_JARS_MISSING: {
    summary: 'The directory of Kafka’s jars does not hold MirrorMaker.',
    nextCommand: 'set kafkaLibs to libs of an unpacked Kafka 4: ls LIBS/connect-mirror-*.jar',
  },
} as const satisfies ErrorCatalogue

export const fault = faultsOf(catalogue)
