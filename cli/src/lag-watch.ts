import type { WriteStream } from 'node:tty'
import { fault } from './faults.ts'
import type { LagSample } from './lag-sample.ts'
import { lagTable } from './lag-table.ts'

interface FeedMessage {
  readonly type: 'snapshot' | 'update'
  readonly disks: readonly LagSample[]
}

interface WatchOptions {
  /** http://… of the applier. */
  readonly base: string
  readonly json: boolean
  readonly out: WriteStream | NodeJS.WritableStream
}

/** How long a watch goes on asking after an applier that is away, for instance being restarted. */
export const reconnectMsMax = 60_000
const reconnectEveryMs = 500
const clearScreen = '\u001B[H\u001B[2J'

/**
 * Follows the applier's WebSocket feed until the process is ended; connects again while the applier is away.
 * @throws SERVICE_UNREACHABLE when it cannot be reached at first, or not for a minute.
 */
export async function watchLag(options: WatchOptions): Promise<void> {
  const url = `${options.base.replace(/^http/, 'ws')}/v1/lag`
  const disks = new Map<string, LagSample>()
  const stopped = new AbortController()
  const stop = () => stopped.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  let everConnected = false
  let lastSeenMs = performance.now()
  while (!stopped.signal.aborted) {
    const connected = await followOnce(url, stopped.signal, (text) => {
      lastSeenMs = performance.now()
      show(options, disks, text)
    })
    everConnected ||= connected
    if (stopped.signal.aborted) return
    if (!everConnected || performance.now() - lastSeenMs > reconnectMsMax) {
      throw fault('SERVICE_UNREACHABLE', `${url} does not answer`)
    }
    if (connected) process.stderr.write('the applier is away; waiting for it\n')
    await new Promise((resolve) => setTimeout(resolve, reconnectEveryMs))
  }
}

/** One connection from open to close; whether it ever opened. */
async function followOnce(
  url: string,
  signal: AbortSignal,
  onMessage: (text: string) => void,
): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = new WebSocket(url)
  let opened = false
  const close = () => socket.close()
  signal.addEventListener('abort', close, { once: true })
  socket.addEventListener('open', () => {
    opened = true
  })
  socket.addEventListener('message', (message) => onMessage(String(message.data)))
  // An error is always followed by close.
  socket.addEventListener('close', () => resolve(opened))
  const result = await promise
  signal.removeEventListener('abort', close)
  return result
}

function show(options: WatchOptions, disks: Map<string, LagSample>, text: string): void {
  if (options.json) {
    options.out.write(`${text}\n`)
    return
  }
  const message = JSON.parse(text) as FeedMessage
  if (message.type === 'snapshot') disks.clear()
  for (const sample of message.disks) disks.set(sample.diskId, sample)
  const table = lagTable([...disks.values()].toSorted((a, b) => (a.diskId < b.diskId ? -1 : 1)))
  const isTerminal = 'isTTY' in options.out && options.out.isTTY
  options.out.write(isTerminal ? `${clearScreen}${table}\nCtrl-C ends.\n` : `${table}\n`)
}
