import { once } from 'node:events'
import { type Server, type Socket, connect, createServer } from 'node:net'
import { assert } from '@blockferry/runtime'

const produceApiKey = 0
const frameHeadBytes = 6

/** Stands between clients and a broker, and can lose the answer to a produce that the broker performed. */
export class KafkaProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #brokerPort = 0
  #answersToLose = 0
  #held: HeldRequests | null = null
  #damaged: Buffer | null = null
  #onHalf: (() => void) | null = null

  private constructor(server: Server) {
    this.#server = server
    server.on('connection', (client) => this.#bridge(client))
  }

  static async listen(): Promise<KafkaProxy> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new KafkaProxy(server)
  }

  get port(): number {
    const address = this.#server.address()
    assert(typeof address === 'object' && address !== null, 'the proxy listens')
    return address.port
  }

  forwardTo(brokerPort: number): void {
    this.#brokerPort = brokerPort
  }

  loseNextProduceAnswer(): void {
    this.#answersToLose += 1
  }

  /** Every produce answer is lost until the function returned is called. */
  loseProduceAnswers(): () => void {
    this.#answersToLose = Number.POSITIVE_INFINITY
    return () => {
      this.#answersToLose = 0
    }
  }

  /** Flips a bit of every answer that carries these bytes, until the function returned is called. */
  damageAnswersWith(bytes: Buffer): () => void {
    this.#damaged = bytes
    return () => {
      this.#damaged = null
    }
  }

  /** Resolves once the broker has the first half of the next produce; it never gets the rest. */
  passHalfOfNextProduce(): Promise<void> {
    return new Promise((resolve) => {
      this.#onHalf = resolve
    })
  }

  /** From now until `stop`, produces stay here, each with its connection, as in a slow link's buffers. */
  holdProduces(): HeldRequests {
    this.#held = new HeldRequests(() => {
      this.#held = null
    })
    return this.#held
  }

  #bridge(client: Socket): void {
    const broker = connect(this.#brokerPort, '127.0.0.1')
    let loseAnswer = false
    let holding: HeldRequests | null = null
    let half: HalfRequest | null = null
    const requests = new RequestFrames((apiKey, frameBytes) => {
      if (apiKey !== produceApiKey) return
      if (this.#onHalf !== null) half = new HalfRequest(frameBytes, this.#onHalf)
      this.#onHalf = null
      holding ??= this.#held
      if (this.#answersToLose === 0) return
      this.#answersToLose -= 1
      loseAnswer = true
    })
    client.on('data', (chunk) => {
      requests.take(chunk)
      if (half !== null) half.pass(chunk, broker)
      else if (holding === null) broker.write(chunk)
      else holding.add(broker, chunk)
    })
    broker.on('data', (chunk) => {
      const damagedAt = this.#damaged === null ? -1 : chunk.indexOf(this.#damaged)
      if (damagedAt >= 0) chunk.writeUInt8(chunk.readUInt8(damagedAt) ^ 1, damagedAt)
      if (loseAnswer) client.destroy()
      else client.write(chunk)
    })
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      this.#sockets.add(one)
      // Either side's end or reset is passed on by the close that follows.
      one.on('error', () => one.destroy())
      one.on('close', () => {
        this.#sockets.delete(one)
        // What is held outlives the client that gave up on it.
        if (one !== client || holding === null) other.destroy()
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** Finds the API key of each request in a byte stream, wherever the chunks are cut. */
class RequestFrames {
  readonly #onRequest: (apiKey: number, frameBytes: number) => void
  #head = Buffer.alloc(0)
  #skipBytes = 0

  constructor(onRequest: (apiKey: number, frameBytes: number) => void) {
    this.#onRequest = onRequest
  }

  take(chunk: Buffer): void {
    let rest = Buffer.concat([this.#head, chunk.subarray(Math.min(this.#skipBytes, chunk.length))])
    this.#skipBytes = Math.max(0, this.#skipBytes - chunk.length)
    while (this.#skipBytes === 0 && rest.length >= frameHeadBytes) {
      const frameBytes = 4 + rest.readInt32BE(0)
      this.#onRequest(rest.readInt16BE(4), frameBytes)
      this.#skipBytes = Math.max(0, frameBytes - rest.length)
      rest = rest.subarray(Math.min(frameBytes, rest.length))
    }
    this.#head = rest
  }
}

/** A request that ends in its middle. It begins with a chunk: nothing is outstanding before it. */
class HalfRequest {
  readonly #onPassed: () => void
  #leftBytes: number

  constructor(frameBytes: number, onPassed: () => void) {
    this.#leftBytes = Math.floor(frameBytes / 2)
    this.#onPassed = onPassed
  }

  pass(chunk: Buffer, broker: Socket): void {
    if (this.#leftBytes === 0) return
    const part = chunk.subarray(0, this.#leftBytes)
    this.#leftBytes -= part.length
    if (this.#leftBytes > 0) broker.write(part)
    else broker.write(part, this.#onPassed)
  }
}

/** Requests on their way that arrive later than anybody expected. */
export class HeldRequests {
  readonly #chunks = new Map<Socket, Buffer[]>()
  readonly #onStop: () => void

  constructor(onStop: () => void) {
    this.#onStop = onStop
  }

  get connections(): number {
    return this.#chunks.size
  }

  add(broker: Socket, chunk: Buffer): void {
    this.#chunks.set(broker, [...(this.#chunks.get(broker) ?? []), chunk])
  }

  /** New connections pass again; what is held stays held. */
  stop(): void {
    this.#onStop()
  }

  /** The broker gets them now; resolves when it answered each connection. */
  async deliver(): Promise<void> {
    for (const [broker, chunks] of this.#chunks) {
      const answered = once(broker, 'data')
      broker.write(Buffer.concat(chunks))
      await answered
      broker.destroy()
    }
  }
}
