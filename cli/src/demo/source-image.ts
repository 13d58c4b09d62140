import { randomBytes } from 'node:crypto'
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MiB } from '@blockferry/runtime'

/** Makes a sparse disk that already holds data, scattered, half of it compressible: what initial sync has to carry. */
export async function createFilledImage(options: {
  readonly path: string
  readonly sizeBytes: number
  readonly dataBytes: number
}): Promise<void> {
  const pieceBytes = 4 * MiB
  const pieces = Math.floor(options.dataBytes / pieceBytes)
  const strideBytes = Math.floor(options.sizeBytes / pieces / pieceBytes) * pieceBytes
  const text = Buffer.alloc(pieceBytes, 'The last good copy survives. ')
  await mkdir(dirname(options.path), { recursive: true })
  const file = await open(options.path, 'wx')
  try {
    await file.truncate(options.sizeBytes)
    for (let piece = 0; piece < pieces; piece += 1) {
      const data = piece % 2 === 0 ? randomBytes(pieceBytes) : text
      await file.write(data, 0, pieceBytes, piece * strideBytes)
    }
    await file.sync()
  } finally {
    await file.close()
  }
}
