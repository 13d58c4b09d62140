import type { LagSample } from '../lag-sample.ts'
import { waitFor } from '../lab-client/wait-for.ts'

/** A lag sample with the positions the demo's checks compare. */
export interface WatchedSample extends LagSample {
  readonly known: Position | null
  readonly received: Position | null
  readonly applied: Position | null
  readonly source: { readonly state: string; readonly seenAt: string } | null
}

interface Position {
  readonly generation: number
  readonly sequence: number
}

interface FeedMessage {
  readonly type: 'snapshot' | 'update'
  readonly disks: readonly WatchedSample[]
}

/** Follows one disk on the applier's WebSocket feed; connects again when the applier is restarted. */
export class LagWatcher implements Disposable {
  readonly #diskId: string
  readonly #url: string
  readonly #onSample: (sample: WatchedSample) => void
  #socket: WebSocket | null = null
  #closed = false
  #reconnect: NodeJS.Timeout | undefined
  #latest: WatchedSample | null = null

  constructor(options: { url: string; diskId: string; onSample: (sample: WatchedSample) => void }) {
    this.#diskId = options.diskId
    this.#url = options.url
    this.#onSample = options.onSample
    this.#connect()
  }

  get latest(): WatchedSample | null {
    return this.#latest
  }

  #connect(): void {
    const socket = new WebSocket(`${this.#url}?disk=${encodeURIComponent(this.#diskId)}`)
    this.#socket = socket
    socket.addEventListener('message', (message) => this.#onMessage(String(message.data)))
    // An error is always followed by close: one place decides about connecting again.
    socket.addEventListener('close', () => {
      this.#latest = null
      if (!this.#closed) this.#reconnect = setTimeout(() => this.#connect(), 250)
    })
  }

  #onMessage(text: string): void {
    const { disks } = JSON.parse(text) as FeedMessage
    const sample = disks.find((disk) => disk.diskId === this.#diskId)
    if (sample === undefined) return
    this.#latest = sample
    this.#onSample(sample)
  }

  /** Waits until the live sample satisfies the condition. */
  async until(
    what: string,
    condition: (sample: WatchedSample) => boolean,
    deadlineMs: number,
  ): Promise<void> {
    await waitFor(() => this.#latest !== null && condition(this.#latest), {
      what,
      deadlineMs,
      explain: () => `last sample: ${JSON.stringify(this.#latest)}`,
    })
  }

  [Symbol.dispose](): void {
    this.#closed = true
    clearTimeout(this.#reconnect)
    this.#socket?.close()
  }
}

/** Everything numbered at the source is in the target image. */
export function isDrained(sample: WatchedSample): boolean {
  const { known, applied } = sample
  return (
    sample.state === 'CONSISTENT' &&
    sample.pendingWrites === 0 &&
    known !== null &&
    applied !== null &&
    known.generation === applied.generation &&
    known.sequence === applied.sequence
  )
}
