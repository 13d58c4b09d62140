import type { ErrorCatalogue } from '@blockferry/runtime'

/** Codes of the command line tool and of the lab that `start` runs. */
export const catalogue = {
  USAGE: {
    summary: 'The command line has faults; every one of them is listed.',
    nextCommand: 'blockferry --help',
  },
  LAB_IN_USE: {
    summary: 'Another `start` runs in this directory.',
    nextCommand: 'stop the other one, or give this one its own --dir',
  },
  LAB_NOT_RUNNING: {
    summary: 'No running lab was found: there is no ready.json, or nobody answers at its addresses.',
    nextCommand: 'blockferry start, or name the right --dir, or set BLOCKFERRY_APPLIER_URL',
  },
  LAB_DIRECTORY_UNUSABLE: {
    summary: 'The lab’s directory holds something that this version cannot continue from.',
    nextCommand: 'repair or remove the named file; remove the whole directory to start anew',
  },
  NO_FREE_PORT: {
    summary: 'No free TCP port was found for one of the lab’s processes.',
    nextCommand: 'see what listens with ss -ltnp',
  },
  KAFKA_MISSING: {
    summary: 'The Kafka jars are not there.',
    nextCommand: 'npm run setup',
  },
  KAFKA_FORMAT_FAILED: {
    summary: 'Kafka’s storage directory could not be formatted.',
    nextCommand: 'read the output shown; check java -version (17 or newer) and free space',
  },
  SOURCE_SIZE_DIFFERS: {
    summary: 'A source file exists with another size than --disk asks for.',
    nextCommand: 'leave size out, or name another source',
  },
  SOURCE_MISSING: {
    summary: 'The source file of a disk that was served before is gone; it is not created anew.',
    nextCommand: 'mount its file system or put the file back; for a new, empty disk choose another id',
  },
  SERVICE_UNREACHABLE: {
    summary: 'The service does not answer.',
    nextCommand: 'check that the lab runs, and the address in DIR/ready.json',
  },
  SERVICE_REFUSED: {
    summary: 'The service answered with a problem.',
    nextCommand: 'see the problem’s own code',
  },
  UNKNOWN_TOPIC_TO_INSPECT: {
    summary: 'The cluster has no such topic.',
    nextCommand: 'name one of the topics of docs/configuration.md, and the right --site',
  },
} as const satisfies ErrorCatalogue
