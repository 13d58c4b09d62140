/*
 * One proxied connection. Invariants:
 *
 * W1  Cut means silent: nothing is read, written, closed or refused on either side until the link is up
 *     again. Then everything continues where it stood; no byte is lost or repeated.
 * W2  At most `queuedBytesMax` wait in each direction; beyond it the sender's socket is not read.
 * W3  The end of one direction passes through the link like data and does not end the other.
 */
import { connect, type Socket } from 'node:net'
import { MiB, type Clock } from '@blockferry/runtime'
import type { Address } from '@blockferry/runtime/service'
import { PieceQueue } from './piece-queue.ts'
import { type Direction, type Link, pieceBytesMax } from './link.ts'

/** Bytes on their way in one direction of one connection; 100 MB/s at 80 ms fit. */
export const queuedBytesMax = 8 * MiB

export interface ProxyDeps {
  readonly clock: Clock
  readonly link: Link
  readonly target: Address
  readonly onBytes: (direction: Direction, byteLength: number) => void
  /** So many bytes more, or fewer, wait at the link (W2). */
  readonly onWaiting: (direction: Direction, deltaBytes: number) => void
}

/** Carries one accepted client over the link until both directions have ended or either side failed. */
export async function carryConnection(client: Socket, deps: ProxyDeps): Promise<void> {
  const gone = new AbortController()
  const sockets = [client]
  const giveUp = () => gone.abort()
  gone.signal.addEventListener('abort', () => void destroyOnceUp(sockets, deps.link), { once: true })
  const watch = (socket: Socket) => {
    socket.setNoDelay(true)
    socket.on('error', giveUp)
    socket.on('close', giveUp)
  }
  watch(client)
  await deps.link.whenUp(gone.signal)
  if (gone.signal.aborted) return
  const upstream = connect({ ...deps.target, allowHalfOpen: true })
  sockets.push(upstream)
  watch(upstream)
  await Promise.all([
    carry({ from: client, to: upstream, direction: 'forward', deps, signal: gone.signal }),
    carry({ from: upstream, to: client, direction: 'backward', deps, signal: gone.signal }),
  ])
  giveUp()
}

/** One side is gone: the other learns of it, but only over a link that is up (W1). */
async function destroyOnceUp(sockets: readonly Socket[], link: Link): Promise<void> {
  await link.whenUp(new AbortController().signal)
  for (const socket of sockets) socket.destroy()
}

interface Carriage {
  readonly from: Socket
  readonly to: Socket
  readonly direction: Direction
  readonly deps: ProxyDeps
  readonly signal: AbortSignal
}

/** Reader and writer of one direction, joined by a bounded queue (W2). */
async function carry(carriage: Carriage): Promise<void> {
  const { deps, direction, signal, to } = carriage
  const queue = new PieceQueue(queuedBytesMax, signal)
  let waitingBytes = 0
  const waiting = (deltaBytes: number): void => {
    waitingBytes += deltaBytes
    deps.onWaiting(direction, deltaBytes)
  }
  const reading = readInto(queue, carriage, waiting)
  for (;;) {
    const piece = await queue.next()
    if (piece === null) break
    await deps.link.pass({
      direction,
      enteredAtMs: piece.enteredAtMs,
      byteLength: piece.data.byteLength,
      signal,
    })
    if (signal.aborted) break
    waiting(-piece.data.byteLength)
    deps.onBytes(direction, piece.data.byteLength)
    if (!to.write(piece.data)) await drained(to, signal)
  }
  await reading
  waiting(-waitingBytes)
  await deps.link.whenUp(signal)
  if (!signal.aborted) to.end()
}

async function readInto(
  queue: PieceQueue,
  carriage: Carriage,
  waiting: (deltaBytes: number) => void,
): Promise<void> {
  const { deps, from, signal } = carriage
  try {
    for await (const chunk of from) {
      const data = chunk as Buffer
      const enteredAtMs = deps.clock.monotonicMs()
      waiting(data.byteLength)
      for (let at = 0; at < data.byteLength; at += pieceBytesMax) {
        queue.push({ data: data.subarray(at, at + pieceBytesMax), enteredAtMs })
      }
      await queue.hasRoom()
      await deps.link.whenUp(signal)
      if (signal.aborted) break
    }
  } catch (error) {
    // A reset by either peer ends both directions through `gone`; the bytes on their way go with it, as they
    // do on a real connection.
    if (!signal.aborted) throw error
  } finally {
    queue.end()
  }
}

async function drained(socket: Socket, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const wake = () => resolve()
  socket.once('drain', wake)
  signal.addEventListener('abort', wake, { once: true })
  if (socket.destroyed || signal.aborted) wake()
  await promise
  socket.off('drain', wake)
  signal.removeEventListener('abort', wake)
}
