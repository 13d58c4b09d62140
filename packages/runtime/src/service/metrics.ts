import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/**
 * The metrics of one service: its own registry, every name begins with `blockferry_`. Names end in their
 * unit as Prometheus wants it (`_bytes`, `_seconds`, `_total`).
 */
export interface Metrics extends Disposable {
  readonly registry: Registry
  counter(name: string, help: string, labels?: readonly string[]): Counter
  gauge(name: string, help: string, labels?: readonly string[]): Gauge
  /** A gauge that `collect` sets each time it is scraped. */
  sampledGauge(options: GaugeOptions, collect: (gauge: Gauge) => void): Gauge
  /** `buckets` in the unit of the name; the default suits seconds from 1 ms to 60 s. */
  histogram(options: HistogramOptions): Histogram
}

export interface GaugeOptions {
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
}

export interface HistogramOptions {
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
  readonly buckets?: readonly number[]
}

const defaultBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export function createMetrics(service: string): Metrics {
  const registry = new Registry()
  registry.setDefaultLabels({ service })
  const stop = watchProcess(registry)
  const common = (name: string, help: string, labels: readonly string[] = []) => ({
    name: `blockferry_${name}`,
    help,
    labelNames: [...labels],
    registers: [registry],
  })
  return {
    registry,
    counter: (name, help, labels) => new Counter(common(name, help, labels)),
    gauge: (name, help, labels) => new Gauge(common(name, help, labels)),
    sampledGauge: ({ name, help, labels }, collect) => {
      const gauge: Gauge = new Gauge({ ...common(name, help, labels), collect: () => collect(gauge) })
      return gauge
    },
    histogram: ({ name, help, labels, buckets }) =>
      new Histogram({ ...common(name, help, labels), buckets: [...(buckets ?? defaultBuckets)] }),
    [Symbol.dispose]: stop,
  }
}

/** What every service shows of itself: memory, processor time, and how late its event loop runs. */
function watchProcess(registry: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `blockferry_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  gauge('process_resident_memory_bytes', 'Resident memory of the process.', () => process.memoryUsage.rss())
  gauge('process_cpu_seconds', 'Processor time used since start, user and system.', () => {
    const usage = process.cpuUsage()
    return (usage.user + usage.system) / 1e6
  })
  gauge('process_uptime_seconds', 'Time since the process started.', () => process.uptime())
  gauge('event_loop_delay_p99_seconds', 'p99 of the event loop delay since the last scrape.', () => {
    const seconds = delay.percentile(99) / 1e9
    delay.reset()
    return seconds
  })
  return () => {
    delay.disable()
  }
}
