import { monitorEventLoopDelay } from 'node:perf_hooks'

const resolutionMs = 10

/**
 * How late the event loop of this thread ran in the last second: the wait in nine of ten samples, ms. One long
 * call does not move it; a thread that gets no processor does.
 */
export function createLoopDelay(): { read(): number } & Disposable {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  histogram.enable()
  let lastMs = 0
  const timer = setInterval(() => {
    lastMs = Math.max(0, histogram.percentile(90) / 1e6 - resolutionMs)
    histogram.reset()
  }, 1_000)
  timer.unref()
  return {
    read: () => lastMs,
    [Symbol.dispose]() {
      clearInterval(timer)
      histogram.disable()
    },
  }
}
