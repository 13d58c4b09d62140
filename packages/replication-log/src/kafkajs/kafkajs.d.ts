/*
 * The part of kafkajs 2.2.4's inside that this adapter uses. The package has no `exports` map and types
 * only its public clients; its version is pinned exactly, so what stands here stays true until it is raised.
 */

declare module 'kafkajs/src/network/connection.js' {
  import type { Socket } from 'node:net'

  interface Logger {
    namespace(name: string): Logger
    debug(): void
    info(): void
    warn(): void
    error(): void
  }

  export interface SocketRequest {
    readonly host: string
    readonly port: number
    readonly onConnect: () => void
  }

  /** What the queue keeps of a request under way, and calls when it ends. */
  export interface QueueEntry {
    readonly apiKey: number
    readonly apiName: string
    readonly apiVersion: number
    readonly correlationId: number
    resolve(answer: { readonly payload: Buffer }): void
    reject(error: unknown): void
  }

  export interface RequestQueue {
    push(request: {
      readonly entry: QueueEntry
      readonly expectResponse: true
      readonly requestTimeout: null
      sendRequest(): void
    }): void
    scheduleCheckPendingRequests(): void
  }

  export default class Connection {
    constructor(options: {
      readonly host: string
      readonly port: number
      readonly clientId: string
      readonly logger: Logger
      readonly socketFactory: (request: SocketRequest) => Socket
      readonly connectionTimeout: number
      readonly requestTimeout: number
      readonly enforceRequestTimeout: boolean
    })
    readonly clientId: string
    readonly requestQueue: RequestQueue
    readonly socket: Socket | undefined
    connect(): Promise<true>
    disconnect(): Promise<true>
    isConnected(): boolean
    nextCorrelationId(): number
    processData(data: Buffer): void
    rejectRequests(error: Error): void
  }
}

declare module 'kafkajs/src/protocol/encoder.js' {
  export default class Encoder {
    readonly buffer: Buffer
    writeInt8(value: number): this
    writeInt16(value: number): this
    writeInt32(value: number): this
    writeInt64(value: bigint): this
    writeBoolean(value: boolean): this
    writeString(value: string | null): this
    writeUVarIntString(value: string | null): this
    writeBuffer(value: Buffer): this
    writeUVarInt(value: number): this
    writeUVarIntArray(values: readonly Encoder[], type: 'object'): this
  }
}

declare module 'kafkajs/src/protocol/decoder.js' {
  export default class Decoder {
    constructor(bytes: Buffer)
    readInt8(): number
    readInt16(): number
    readInt32(): number
    readInt64(): bigint
    readBoolean(): boolean
    readUVarInt(): number
    readUVarIntString(): string | null
    readBytes(length: number): Buffer
    readUVarIntArray<T>(read: (decoder: Decoder) => T): T[] | null
    readTaggedFields(): unknown
  }
}

declare module 'kafkajs/src/protocol/requests/index.js' {
  import type Encoder from 'kafkajs/src/protocol/encoder.js'

  /** One request of one version: its encoder, and the decoder of its response. */
  export interface Protocol<Response> {
    readonly request: { readonly apiName: string; encode(): Promise<Encoder> }
    readonly response: { decode(payload: Buffer): Promise<Response> }
  }

  export interface LibraryApi<Options, Response> {
    protocol(options: { readonly version: number }): (options: Options) => Protocol<Response>
  }

  interface Result {
    readonly errorCode: number
  }
  interface Timed {
    readonly timeout: number
  }
  interface Member {
    readonly groupId: string
    readonly memberId: string
    readonly groupInstanceId: string | null
  }
  type TopicErrors = {
    readonly topicErrors: readonly (Result & { topic: string; errorMessage?: string | null })[]
  }

  const library: {
    readonly requests: {
      readonly ApiVersions: LibraryApi<
        void,
        { readonly apiVersions: readonly { apiKey: number; minVersion: number; maxVersion: number }[] }
      >
      readonly Produce: LibraryApi<
        { readonly acks: number; readonly topicData: readonly [] },
        {
          readonly topics: readonly {
            readonly partitions: readonly (Result & { readonly baseOffset: string })[]
          }[]
        }
      >
      readonly ListOffsets: LibraryApi<
        {
          readonly replicaId: number
          readonly isolationLevel: number
          readonly topics: readonly {
            topic: string
            partitions: readonly { partition: number; timestamp: bigint }[]
          }[]
        },
        { readonly responses: readonly { partitions: readonly (Result & { offset: string })[] }[] }
      >
      readonly InitProducerId: LibraryApi<
        { readonly transactionalId: null; readonly transactionTimeout: number },
        Result & { readonly producerId: string; readonly producerEpoch: number }
      >
      readonly DeleteRecords: LibraryApi<
        Timed & {
          readonly topics: readonly {
            topic: string
            partitions: readonly { partition: number; offset: bigint }[]
          }[]
        },
        { readonly topics: readonly { partitions: readonly Result[] }[] }
      >
      readonly CreateTopics: LibraryApi<
        Timed & {
          readonly validateOnly: boolean
          readonly topics: readonly {
            topic: string
            numPartitions: number
            replicationFactor: number
            configEntries: readonly { name: string; value: string }[]
          }[]
        },
        TopicErrors
      >
      readonly DescribeConfigs: LibraryApi<
        {
          readonly resources: readonly { type: number; name: string }[]
          readonly includeSynonyms: boolean
        },
        {
          readonly resources: readonly (Result & {
            resourceName: string
            configEntries: readonly { configName: string; configValue: string | null }[]
          })[]
        }
      >
      readonly DeleteTopics: LibraryApi<Timed & { readonly topics: readonly string[] }, TopicErrors>
      readonly GroupCoordinator: LibraryApi<
        { readonly groupId: string; readonly coordinatorType: number },
        Result & { readonly coordinator: { readonly host: string; readonly port: number } }
      >
      readonly JoinGroup: LibraryApi<
        Member & {
          readonly sessionTimeout: number
          readonly rebalanceTimeout: number
          readonly protocolType: string
          readonly groupProtocols: readonly { name: string; metadata: Buffer }[]
        },
        Result & {
          readonly generationId: number
          readonly leaderId: string
          readonly memberId: string
          readonly members: readonly { memberId: string; memberMetadata: Buffer }[]
        }
      >
      readonly SyncGroup: LibraryApi<
        Member & {
          readonly generationId: number
          readonly groupAssignment: readonly { memberId: string; memberAssignment: Buffer }[]
        },
        Result & { readonly memberAssignment: Buffer }
      >
      readonly Heartbeat: LibraryApi<Member & { readonly groupGenerationId: number }, Result>
      readonly LeaveGroup: LibraryApi<Member, Result>
    }
  }
  export default library
}

declare module 'kafkajs/src/protocol/requests/apiKeys.js' {
  const apiKeys: Readonly<
    Record<
      | keyof (typeof import('kafkajs/src/protocol/requests/index.js'))['default']['requests']
      | 'Metadata'
      | 'Fetch',
      number
    >
  >
  export default apiKeys
}

declare module 'kafkajs/src/consumer/assignerProtocol.js' {
  const protocol: {
    readonly MemberMetadata: {
      encode(options: { readonly version: number; readonly topics: readonly string[] }): Buffer
      decode(bytes: Buffer): { readonly topics: readonly string[] }
    }
    readonly MemberAssignment: {
      encode(options: {
        readonly version: number
        readonly assignment: Readonly<Record<string, readonly number[]>>
      }): Buffer
      decode(bytes: Buffer): { readonly assignment: Readonly<Record<string, readonly number[]>> } | null
    }
  }
  export default protocol
}
