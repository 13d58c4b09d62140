import { aborted } from '@blockferry/runtime'
import { systemClock, systemRandom } from '@blockferry/runtime/service'
import type { Command } from 'commander'
import { exitStatus } from '../exit-status.ts'
import { parseLabOptions, type RawLabOptions } from '../lab/lab-options.ts'
import type { LabReady } from '../lab/ready.ts'

/** `blockferry start`: both sites on this machine, in the foreground. */
export function registerStart(program: Command): void {
  program
    .command('start')
    .description('Runs both sites on this machine, in the foreground, until SIGINT or SIGTERM.')
    .option('--dir <directory>', 'where all state is kept', '.blockferry')
    .option(
      '--disk <fields>',
      'a disk to serve: id=vda,size=1G[,source=PATH][,target=PATH][,provisioning=thin][,group=NAME]; repeatable',
      (text: string, before: readonly string[]) => [...before, text],
      [] as readonly string[],
    )
    .option('--nbd-listen <host:port>', 'serve the disks over TCP too')
    .option('--wan-bytes-per-second <bytes>', 'capacity of the WAN in each direction (10M, 1G …)')
    .option('--kafka-client <name>', 'the library the services speak to Kafka with: platformatic or kafkajs')
    .option('--json', 'one JSON event per line on standard output', false)
    .exitOverride()
    .action(run)
}

async function run(raw: RawLabOptions): Promise<void> {
  const options = parseLabOptions(raw, process.cwd())
  // Loaded only now: --help of another command should not wait for a Kafka client.
  const { startLab } = await import('../lab/lab.ts')
  const stop = stopSignal()
  const onEvent = (event: object) => {
    const isReady = (candidate: object): candidate is LabReady =>
      'event' in candidate && candidate.event === 'ready'
    if (options.json) process.stdout.write(`${JSON.stringify(event)}\n`)
    else if (isReady(event)) process.stdout.write(readyText(event))
  }
  const show = (text: string) => void process.stderr.write(text)
  try {
    await using lab = await startLab(
      options,
      { clock: systemClock, random: systemRandom, show, onEvent },
      stop,
    )
    void lab.ready
    await aborted(stop)
  } catch (error) {
    // Asked to stop while starting: everything that ran has been stopped in order.
    if (!stop.aborted) throw error
  }
  // Nothing of ours is left to wait for; a library's open timer must not hold the prompt.
  process.exit(exitStatus.done)
}

/** Aborts at the first SIGINT, SIGTERM or SIGHUP; a second one ends at once, and the guard ends the children. */
function stopSignal(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(exitStatus.failed)
      process.stderr.write(`stopping on ${signal}; once more ends without waiting\n`)
      stop.abort()
    })
  }
  return stop.signal
}

function readyText(ready: LabReady): string {
  const disks = ready.disks.map(
    ({ id, nbd, source, target }) => `  ${id}  ${nbd}\n      ${source} ─► ${target}`,
  )
  const page = ready.processes['applier']?.http
  return [
    'ready',
    ...disks,
    ...(page === undefined ? [] : [`  lag      ${page}/`]),
    `  Kafka    ${Object.entries(ready.sites)
      .map(([site, { kafka }]) => `${site} ${kafka}`)
      .join('   ')}`,
    'Ctrl-C stops everything in order; the same command continues.',
    '',
  ].join('\n')
}
