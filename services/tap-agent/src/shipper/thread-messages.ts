import type { ClockSkew, Position, Stamp } from '@blockferry/disk-stream'
import type { KafkaClientName } from '@blockferry/replication-log'
import type { ShipHint } from '../disk/control-record.ts'
import type { Minted, MintRequest, ResyncRequest } from '../disk/disk-ports.ts'
import type { DiskStatus } from '../disk/disk-state.ts'
import type { Attachment } from './shipper.ts'
import type { LaneFigures } from './partition-lane.ts'
import type { ShipperOptions } from './shipper-ports.ts'

/** Where a disk's spool lies and how far it may be read: all the shipper's thread needs to follow it. */
export interface SpoolPlace {
  readonly directory: string
  readonly published: SharedArrayBuffer
  readonly segmentBytes: number
}

/** Given to the thread at its start. */
export interface ShipperThreadData {
  readonly options: ShipperOptions
  readonly kafkaBrokers: readonly string[]
  readonly kafkaClient: KafkaClientName
  readonly clientId: string
  /** One Int32: the bell's counter. */
  readonly bell: SharedArrayBuffer
}

export type ToShipper =
  | { readonly kind: 'attach'; readonly attachment: Attachment; readonly spool: SpoolPlace }
  | { readonly kind: 'detach'; readonly diskId: string }
  | { readonly kind: 'mint'; readonly callId: number; readonly request: MintRequest }
  | { readonly kind: 'beat'; readonly statuses: readonly DiskStatus[]; readonly stamp: Stamp }
  | { readonly kind: 'stop' }

export type FromShipper =
  | { readonly kind: 'shipped'; readonly diskId: string; readonly hint: ShipHint }
  | { readonly kind: 'received'; readonly diskId: string; readonly position: Position }
  | { readonly kind: 'kafka'; readonly kafkaPartition: number | null; readonly code: string | null }
  | ({ readonly kind: 'resync'; readonly diskId: string } & ResyncRequest)
  | { readonly kind: 'skew'; readonly skew: ClockSkew }
  | {
      readonly kind: 'trouble'
      readonly code: string
      readonly message: string
      readonly nextCommand: string
    }
  | { readonly kind: 'figures'; readonly figures: ReadonlyMap<number, LaneFigures> }
  | { readonly kind: 'minted'; readonly callId: number; readonly minted: Minted }
  | { readonly kind: 'mintFailed'; readonly callId: number; readonly code: string; readonly message: string }
  | { readonly kind: 'stopped' }
