import {
  createHttpEdge,
  createMetrics,
  type Logger,
  type RunningService,
  systemClock,
} from '@blockferry/runtime/service'
import type { WanConfig } from './config.ts'
import { Link } from './link.ts'
import { serveLink } from './link-routes.ts'
import { openWanProxy } from './proxy.ts'

/** Composes the WAN proxy: one link, one listener, one HTTP edge. */
export async function startWan(config: WanConfig, logger: Logger): Promise<RunningService> {
  const clock = systemClock
  const metrics = createMetrics('wan')
  const carried = metrics.counter('wan_carried_bytes_total', 'Bytes carried over the link.', ['direction'])
  const waiting = metrics.gauge('wan_waiting_bytes', 'Bytes that wait at the link.', ['direction'])
  const link = new Link(clock, { up: true, bytesPerSecond: config.bytesPerSecond, latencyMs: 0 })
  const { promise: failed, reject: fail } = Promise.withResolvers<never>()
  const proxy = await openWanProxy({
    clock,
    link,
    listen: config.listen,
    target: config.target,
    onBytes: (direction, byteLength) => carried.inc({ direction }, byteLength),
    onWaiting: (direction, deltaBytes) => waiting.inc({ direction }, deltaBytes),
    onFailure: fail,
  })
  const app = await createHttpEdge({
    service: 'wan',
    metrics,
    logger,
    readiness: () =>
      link.settings.up ? { ready: true, reasons: [] } : { ready: false, reasons: ['the link is cut'] },
  })
  serveLink(app, link, (settings) => {
    logger.info({ event: 'link', ...settings }, settings.up ? 'link is up' : 'link is cut')
  })
  const http = await app.listen(config.httpListen)
  const { host, port } = proxy.address
  logger.info({ event: 'listening', http, wan: `${host}:${port}` }, `carrying ${host}:${port}`)
  return {
    failed,
    async [Symbol.asyncDispose]() {
      await app.close()
      await proxy[Symbol.asyncDispose]()
      metrics[Symbol.dispose]()
    },
  }
}
