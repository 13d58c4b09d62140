import { systemClock, systemRandom } from '@blockferry/runtime/service'
import { startLab } from '../../cli/src/lab/lab.ts'

/** Brokers, WAN and mirror without the services, as a process of its own: `bare-lab.ts DIRECTORY`. */
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
const lab = await startLab(
  {
    directory: process.argv[2] ?? '',
    disks: [],
    nbdListen: null,
    wanBytesPerSecond: null,
    kafkaClient: null,
    json: true,
  },
  {
    clock: systemClock,
    random: systemRandom,
    show: (text) => void process.stderr.write(text),
    onEvent: (event) => void process.stdout.write(`${JSON.stringify(event)}\n`),
    services: () => [],
  },
  stop.signal,
)
await new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()))
await lab[Symbol.asyncDispose]()
process.exit(0)
