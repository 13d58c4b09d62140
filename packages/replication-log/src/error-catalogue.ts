import type { ErrorCatalogue } from '@blockferry/runtime'

/** What can go wrong between us and a Kafka cluster, in this package's words. */
export const catalogue = {
  KAFKA_UNREACHABLE: {
    summary: 'No broker of the cluster accepts a connection.',
    nextCommand: 'check that the cluster runs and that the configured brokers resolve: nc -vz HOST PORT',
  },
  KAFKA_TIMEOUT: {
    summary: 'A broker accepted a request and did not answer it before the deadline.',
    nextCommand: 'check the link and the broker: npx blockferry lag; then the broker log',
  },
  RECORD_TOO_LARGE: {
    summary: 'A batch is longer than the topic or the client allows.',
    nextCommand:
      "kafka-configs.sh --entity-type topics --entity-name TOPIC --alter --add-config 'max.message.bytes=8388608'",
  },
  TOPIC_UNKNOWN: {
    summary: 'The cluster has no such topic or partition.',
    nextCommand: 'kafka-topics.sh --list; restart the service: it creates the topics it needs',
  },
  TOPIC_MISMATCH: {
    summary: 'A topic has another partition count or other limits than configured.',
    nextCommand:
      'kafka-configs.sh --entity-type topics --entity-name TOPIC --alter, or change our configuration to agree',
  },
  TOPIC_RECREATED: {
    summary: 'A topic was deleted and created again while in use: its offsets mean nothing any more.',
    nextCommand: 'none: a new client finds its place by position; what is missing is sent again or resynced',
  },
  NOT_AUTHORIZED: {
    summary: 'The cluster refuses this client the operation.',
    nextCommand: 'kafka-acls.sh --list --topic TOPIC',
  },
  TIMESTAMP_REJECTED: {
    summary: "The broker refuses the record's timestamp: the topic does not use LogAppendTime.",
    nextCommand:
      'kafka-configs.sh --entity-type topics --entity-name TOPIC --alter --add-config message.timestamp.type=LogAppendTime',
  },
  PRODUCER_FENCED: {
    summary: 'The broker does not accept this producer session (sequence or epoch): a new one was begun.',
    nextCommand:
      'none: sending resumes after the last acknowledged record; if it repeats, check the broker log for lost data',
  },
  KAFKA_REJECTED: {
    summary: 'The broker refuses the request for a reason that a retry does not change.',
    nextCommand: 'read the broker log at this time; details carry the Kafka error name',
  },
  KAFKA_UNSUPPORTED: {
    summary: 'The broker does not speak a protocol version this client needs.',
    nextCommand: 'upgrade the brokers to Kafka 3.9 or newer',
  },
  RECORD_BATCH_CORRUPT: {
    summary: 'A stored record batch fails its checksum or cannot be read.',
    nextCommand:
      'kafka-dump-log.sh --deep-iteration --files SEGMENT on the broker, to see how much of it is damaged',
  },
  GROUP_MEMBER_FENCED: {
    summary: 'Another process joined the group under the same instance id.',
    nextCommand: 'give each process its own instance id, or stop the other one',
  },
  LOG_CLOSED: {
    summary: 'The client was closed while the operation waited.',
    nextCommand: 'none: the service is stopping',
  },
} as const satisfies ErrorCatalogue

export type ReplicationLogCode = keyof typeof catalogue
