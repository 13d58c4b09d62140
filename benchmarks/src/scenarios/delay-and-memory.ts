import { MiB } from '@blockferry/runtime'
import type { BenchLab } from '../bench-lab.ts'
import type { Figure, Report } from '../figure.ts'
import { fioRandomWrites, type FioResult } from '../fio.ts'
import { MemorySampler } from '../process-memory.ts'

/** A little more than the 10 MB/s that the bound is about. */
const bytesPerSecond = 10 * MiB
const stoppedSeconds = 60
/** Megabytes, as the budgets are given. */
const limitsMB = { 'tap-agent': 250, aggregator: 350, applier: 350 } as const
type Watched = keyof typeof limitsMB

/** Delay at 10 MiB/s of 4 KiB random writes, and memory: in steady state and with the target site stopped for a minute. */
export async function measureDelayAndMemory(
  lab: BenchLab,
  options: { report: Report; seconds: number },
): Promise<void> {
  const { report, seconds } = options
  const load = { uri: lab.uri, blockBytes: 4096, depth: 16, bytesPerSecond }
  const steady = await underMemoryWatch(lab, () =>
    lab.whileConsistent(
      async () => ({
        written: await fioRandomWrites({ ...load, seconds }),
        delay: (await lab.sample()).replicationDelayMs,
      }),
      { heard: true },
    ),
  )
  report.figures.push(...delayFigures(steady.value, seconds), ...memoryFigures(steady.peaks, 'steady'))
  const stopped = await underMemoryWatch(lab, async () => {
    const load60 = { ...load, seconds: stoppedSeconds }
    const written = await lab.whileStreaming(() =>
      lab.whileStopped(['kafka-b', 'mirror', 'applier'], () => fioRandomWrites(load60)),
    )
    const resumedMs = performance.now()
    await lab.whileConsistent(() => lab.drained(300_000))
    return { written, drainSeconds: (performance.now() - resumedMs) / 1000 }
  })
  report.figures.push(
    ...drainFigures(stopped.value),
    ...memoryFigures(stopped.peaks, `target site stopped ${stoppedSeconds} s, then draining`),
  )
}

function delayFigures(
  steady: { written: FioResult; delay: { p50: number | null; p99: number | null } },
  seconds: number,
): readonly Figure[] {
  const { written, delay } = steady
  const name = '4 KiB at 10 MiB/s'
  const note = `${(written.bytesPerSecond / MiB).toFixed(1)} MiB/s written for ${seconds} s, CONSISTENT and STREAMING throughout`
  return [
    { name: `replication delay p50, ${name}`, value: delay.p50 ?? Number.NaN, unit: 'ms', note },
    {
      name: `replication delay p99, ${name}`,
      value: delay.p99 ?? Number.POSITIVE_INFINITY,
      unit: 'ms',
      bound: { max: 250 },
      note,
    },
    { name: `guest p99 latency, ${name}`, value: written.p99Ms, unit: 'ms' },
  ]
}

function drainFigures(stopped: { written: FioResult; drainSeconds: number }): readonly Figure[] {
  const { written, drainSeconds } = stopped
  const when = `target site stopped ${stoppedSeconds} s`
  return [
    {
      name: `drain after the ${when}`,
      value: drainSeconds,
      unit: 's',
      note: `${(written.bytes / MiB).toFixed(0)} MiB had been written meanwhile; STREAMING throughout, CONSISTENT while draining, nothing resynced`,
    },
    { name: `guest p99 latency, ${when}`, value: written.p99Ms, unit: 'ms' },
  ]
}

async function underMemoryWatch<T>(
  lab: BenchLab,
  work: () => Promise<T>,
): Promise<{ value: T; peaks: Readonly<Record<Watched, number>> }> {
  using sampler = new MemorySampler(() => ({
    'tap-agent': lab.client.pid('tap-agent'),
    aggregator: lab.client.pid('aggregator'),
    applier: lab.client.pid('applier'),
  }))
  const value = await work()
  const peaks = {
    'tap-agent': sampler.peakBytes('tap-agent'),
    aggregator: sampler.peakBytes('aggregator'),
    applier: sampler.peakBytes('applier'),
  }
  return { value, peaks }
}

export function memoryFigures(peakBytes: Readonly<Record<Watched, number>>, when: string): readonly Figure[] {
  const names = Object.keys(limitsMB) as readonly Watched[]
  return names.map((name) => ({
    name: `peak RSS ${name}, ${when}`,
    value: peakBytes[name] / 1e6,
    unit: 'MB',
    bound: { max: limitsMB[name] },
  }))
}
