import { Command } from 'commander'
import { UsageFault } from '../exit-status.ts'
import { type PlaceOptions, readLab, withPlace } from '../service-address.ts'

interface InspectOptions extends PlaceOptions {
  readonly site: string
  readonly kafka?: string
  readonly from: string
  readonly limit: string
  readonly partition?: string
  readonly json: boolean
}

/** `blockferry topic inspect`: a topic decoded for a human. */
export function registerTopic(program: Command): void {
  const inspect = withPlace(new Command('inspect'))
    .description(
      'Decodes the records of a topic: writes, updates, site-a.updates, disks, positions, requests …',
    )
    .argument('<topic>')
    .option('--site <site>', 'whose cluster', 'site-a')
    .option('--kafka <host:port>', 'a broker to ask instead of the lab’s')
    .option('--from <place>', 'earliest, latest, or a Kafka offset', 'earliest')
    .option('--partition <number>', 'only this partition')
    .option('--limit <count>', 'at most this many records', '20')
    .option('--json', 'one record per line as JSON', false)
    .exitOverride()
    .action(run)
  program.command('topic').description('Looks into the topics.').addCommand(inspect).exitOverride()
}

async function run(topic: string, options: InspectOptions): Promise<void> {
  const faults: string[] = []
  const limit = wholeNumber(options.limit)
  if (limit === null || limit < 1)
    faults.push(`--limit is "${options.limit}"; expected a count of at least 1`)
  const partition = options.partition === undefined ? null : wholeNumber(options.partition)
  if (options.partition !== undefined && partition === null) {
    faults.push(`--partition is "${options.partition}"; expected a number`)
  }
  const { from } = options
  const fromOffset = wholeNumber(from)
  if (from !== 'earliest' && from !== 'latest' && fromOffset === null) {
    faults.push(`--from is "${from}"; expected earliest, latest, or an offset`)
  }
  if (faults.length > 0 || limit === null) throw new UsageFault('topic inspect', faults)
  const { inspectTopic } = await import('../topic-inspect.ts')
  const broker = options.kafka ?? brokerOf(options)
  await inspectTopic(
    {
      broker,
      topic,
      kafkaPartition: partition,
      from: fromOffset === null ? (from as 'earliest' | 'latest') : BigInt(from),
      limit,
      json: options.json,
    },
    (text) => void process.stdout.write(text),
  )
}

function brokerOf(options: InspectOptions): string {
  const { sites } = readLab(options)
  const site = sites[options.site]
  if (site !== undefined) return site.kafka
  const known = Object.keys(sites).join(', ')
  throw new UsageFault('topic inspect', [`--site is "${options.site}"; expected one of ${known}`])
}

function wholeNumber(text: string): number | null {
  return /^\d{1,15}$/.test(text) ? Number(text) : null
}
