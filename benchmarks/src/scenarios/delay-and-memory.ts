import { MiB } from '@blockferry/runtime'
import type { WatchedSample } from '@blockferry/cli'
import type { BenchLab } from '../bench-lab.ts'
import type { Report } from '../figure.ts'
import { fioRandomWrites } from '../fio.ts'
import { MemorySampler } from '../process-memory.ts'

const bytesPerSecond = 10 * MiB
const limitsMiB = { 'tap-agent': 250, aggregator: 350, applier: 350 } as const

/** Delay at 10 MB/s of 4 KiB random writes, and memory: in steady state and with the target site stopped for a minute. */
export async function measureDelayAndMemory(
  lab: BenchLab,
  options: { report: Report; seconds: number },
): Promise<void> {
  const { report, seconds } = options
  const load = { socketPath: lab.socketPath, exportName: 'vda', blockBytes: 4096, depth: 16, bytesPerSecond }
  const pids = () => ({
    'tap-agent': lab.client.pid('tap-agent'),
    aggregator: lab.client.pid('aggregator'),
    applier: lab.client.pid('applier'),
  })

  const steady = await underMemoryWatch(pids, async () => {
    const states = watchStates(lab)
    const result = await fioRandomWrites({ ...load, seconds })
    const sample = await lab.sample()
    await states.expectAlways('CONSISTENT')
    return { result, sample }
  })
  const rate = `${(steady.value.result.bytesPerSecond / MiB).toFixed(1)} MiB/s written for ${seconds} s, CONSISTENT throughout`
  const { p50, p99 } = steady.value.sample.replicationDelayMs
  report.figures.push(
    { name: 'replication delay p50, 4 KiB at 10 MB/s', value: p50 ?? Number.NaN, unit: 'ms', note: rate },
    {
      name: 'replication delay p99, 4 KiB at 10 MB/s',
      value: p99 ?? Number.POSITIVE_INFINITY,
      unit: 'ms',
      bound: { max: 250 },
      note: rate,
    },
  )
  pushMemory(report, { sampler: steady.sampler, when: 'steady' })

  const stopped = await underMemoryWatch(pids, async () => {
    const written = await lab.whileStopped(['kafka-b', 'mirror', 'applier'], () =>
      fioRandomWrites({ ...load, seconds: 60 }),
    )
    const resumedMs = performance.now()
    await lab.drained(300_000)
    return { written, drainSeconds: (performance.now() - resumedMs) / 1000 }
  })
  const { written, drainSeconds } = stopped.value
  report.figures.push({
    name: 'drain after the target site was stopped for 60 s',
    value: drainSeconds,
    unit: 's',
    note: `${(written.bytes / MiB).toFixed(0)} MiB had been written meanwhile, guest p99 ${written.p99Ms.toFixed(2)} ms`,
  })
  pushMemory(report, { sampler: stopped.sampler, when: 'target site stopped 60 s, then draining' })
}

async function underMemoryWatch<T>(
  pids: () => Readonly<Record<string, number>>,
  work: () => Promise<T>,
): Promise<{ value: T; sampler: MemorySampler }> {
  using sampler = new MemorySampler(pids)
  return { value: await work(), sampler }
}

function pushMemory(report: Report, measured: { sampler: MemorySampler; when: string }): void {
  for (const [name, max] of Object.entries(limitsMiB)) {
    report.figures.push({
      name: `peak RSS ${name}, ${measured.when}`,
      value: measured.sampler.peakMiB(name),
      unit: 'MiB',
      bound: { max },
    })
  }
}

/** Asserts the state over the whole run, not at its end. */
function watchStates(lab: BenchLab): { expectAlways: (state: string) => Promise<void> } {
  const seen: WatchedSample[] = []
  let failure: unknown = null
  const timer = setInterval(() => {
    lab
      .sample()
      .then((sample) => seen.push(sample))
      .catch((error: unknown) => {
        failure ??= error
      })
  }, 1000)
  return {
    expectAlways: async (state) => {
      clearInterval(timer)
      if (failure !== null) throw new Error('the lag feed failed during the run', { cause: failure })
      const other = seen.find((sample) => sample.state !== state || sample.source?.state !== 'STREAMING')
      if (seen.length === 0 || other !== undefined)
        throw new Error(`the disk was not ${state} throughout: ${JSON.stringify(other)}`)
    },
  }
}
