import type { SyncProgress } from '@blockferry/disk-stream'
import type { Clock } from '@blockferry/runtime'
import type { BlockDevice } from '@blockferry/storage'
import { dataBytesIn } from './full-sync.ts'

/** Progress of one full sync in bytes of data (holes cost next to nothing), and when it will be done. */
export interface SyncMeter {
  add(byteLength: number): void
  progress(): SyncProgress
}

export async function createSyncMeter(
  deps: { readonly device: BlockDevice; readonly clock: Clock },
  cursorBytes: number,
): Promise<SyncMeter> {
  const { clock, device } = deps
  const skippedBytes = await dataBytesIn(device, { byteOffset: 0, byteLength: cursorBytes })
  const rest = { byteOffset: cursorBytes, byteLength: device.sizeBytes - cursorBytes }
  const restBytes = await dataBytesIn(device, rest)
  const startMs = clock.monotonicMs()
  let readBytes = 0
  return {
    add(byteLength) {
      readBytes += byteLength
    },
    progress() {
      const totalBytes = skippedBytes + Math.max(restBytes, readBytes)
      const elapsedMs = clock.monotonicMs() - startMs
      const leftBytes = Math.max(0, restBytes - readBytes)
      const etaMs = readBytes === 0 ? null : Math.round((elapsedMs / readBytes) * leftBytes)
      return { phase: 'full-sync', doneBytes: skippedBytes + readBytes, totalBytes, etaMs }
    },
  }
}
