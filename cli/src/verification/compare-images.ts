import { createHash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { MiB } from '@blockferry/runtime'

export interface ImageComparison {
  readonly regions: number
  /** Byte offsets of the regions whose SHA-256 differ; empty when equal. */
  readonly differing: readonly number[]
  /** SHA-256 over the whole source image. */
  readonly sourceSha256: string
  readonly targetSha256: string
  readonly sourceSizeBytes: number
  readonly targetSizeBytes: number
  readonly sourceAllocatedBytes: number
  readonly targetAllocatedBytes: number
}

export interface CompareOptions {
  /** Default 16 MiB. */
  readonly regionBytes?: number
}

/** Reads both images region by region and compares sizes, SHA-256 and allocated bytes. Throws the system's error when one cannot be read. */
export async function compareImages(
  paths: { readonly source: string; readonly target: string },
  options: CompareOptions = {},
): Promise<ImageComparison> {
  const regionBytes = options.regionBytes ?? 16 * MiB
  const source = await open(paths.source, 'r')
  const target = await open(paths.target, 'r').catch(async (error: unknown) => {
    await source.close()
    throw error
  })
  try {
    return await compareOpen(source, target, regionBytes)
  } finally {
    await Promise.all([source.close(), target.close()])
  }
}

async function compareOpen(
  source: FileHandle,
  target: FileHandle,
  regionBytes: number,
): Promise<ImageComparison> {
  const [sourceStat, targetStat] = await Promise.all([source.stat(), target.stat()])
  const whole = { source: createHash('sha256'), target: createHash('sha256') }
  const buffers = { source: Buffer.alloc(regionBytes), target: Buffer.alloc(regionBytes) }
  const differing: number[] = []
  let regions = 0
  for (
    let byteOffset = 0;
    byteOffset < Math.max(sourceStat.size, targetStat.size);
    byteOffset += regionBytes
  ) {
    const [left, right] = await Promise.all([
      readRegion(source, { into: buffers.source, byteOffset }),
      readRegion(target, { into: buffers.target, byteOffset }),
    ])
    whole.source.update(left)
    whole.target.update(right)
    if (sha256(left) !== sha256(right)) differing.push(byteOffset)
    regions += 1
  }
  return {
    regions,
    differing,
    sourceSha256: whole.source.digest('hex'),
    targetSha256: whole.target.digest('hex'),
    sourceSizeBytes: sourceStat.size,
    targetSizeBytes: targetStat.size,
    sourceAllocatedBytes: sourceStat.blocks * 512,
    targetAllocatedBytes: targetStat.blocks * 512,
  }
}

async function readRegion(file: FileHandle, at: { into: Buffer; byteOffset: number }): Promise<Buffer> {
  let filled = 0
  while (filled < at.into.length) {
    const { bytesRead } = await file.read(at.into, filled, at.into.length - filled, at.byteOffset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return at.into.subarray(0, filled)
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}
