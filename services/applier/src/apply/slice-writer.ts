import { assert } from '@blockferry/runtime'
import { ExtentMap, type FoldedExtent } from '@blockferry/disk-stream'
import type { BlockDevice } from '@blockferry/storage'

/*
 * Writes folded extents in place (R2). Invariants:
 *
 * W1  No two writes in flight share a block of the target: extents that do are one run, written one after
 *     another.
 * W2  All writes have ended, well or not, when `write` returns or throws: nothing lands later.
 */

export interface SliceWriterOptions {
  readonly blockBytes: number
  /** Runs in flight. */
  readonly writesMax: number
}

/** Extents, ascending, of which each shares a block with the next. */
export type Run = readonly FoldedExtent[]

/** Splits ascending, disjoint extents into runs that share no block with one another (W1). */
export function runsOf(extents: readonly FoldedExtent[], blockBytes: number): readonly Run[] {
  const runs: FoldedExtent[][] = []
  let lastBlock = -1
  for (const extent of extents) {
    const firstBlock = Math.floor(extent.byteOffset / blockBytes)
    if (firstBlock <= lastBlock) runs.at(-1)?.push(extent)
    else runs.push([extent])
    lastBlock = Math.floor((extent.byteOffset + extent.byteLength - 1) / blockBytes)
  }
  return runs
}

async function writeRun(device: BlockDevice, run: Run): Promise<void> {
  for (const extent of run) {
    if (extent.kind === 'data') await device.write(extent.byteOffset, extent.data)
    else await device.zero(extent, { mayUnmap: extent.mayUnmap })
  }
}

/** Folds what `map` holds and writes it in place. Not durable before the device's next flush. */
export async function writeFolded(
  device: BlockDevice,
  map: ExtentMap,
  options: SliceWriterOptions,
): Promise<{ readonly bytes: number }> {
  const extents = map.fold()
  const last = extents.at(-1)
  assert(
    last === undefined || last.byteOffset + last.byteLength <= device.sizeBytes,
    'extents lie on the disk',
  )
  const runs = runsOf(extents, options.blockBytes)
  let next = 0
  let failure: { readonly error: unknown } | null = null
  const worker = async (): Promise<void> => {
    while (next < runs.length && failure === null) {
      const run = runs[next]
      next += 1
      if (run === undefined) return
      try {
        await writeRun(device, run)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  // W2: workers never reject, so all of them have ended here.
  await Promise.all(Array.from({ length: Math.min(options.writesMax, runs.length) }, worker))
  const failed = failure as { readonly error: unknown } | null
  if (failed !== null) throw failed.error
  return { bytes: extents.reduce((sum, extent) => sum + (extent.kind === 'data' ? extent.byteLength : 0), 0) }
}
