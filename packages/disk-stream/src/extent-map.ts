import { assert } from '@blockferry/runtime'
import type { Extent } from './event.ts'
import type { SetExtent } from './records.ts'

/*
 * Folding (A1, R2): many overlapping writes and zeroings of a disk, in order, become disjoint ascending
 * extents.
 *
 * Invariant F1: each byte has the value of the newest write or zeroing that covers it.
 * Invariant F2: the result is disjoint, ascending, and maximal: neighbours of one kind are one extent.
 * Invariant F3: no byte is copied; the result refers to the buffers that were put in.
 */

/** A folded extent; the buffers of a data extent, one after another, are its bytes. */
export type FoldedExtent =
  | (Extent & { readonly kind: 'data'; readonly data: readonly Buffer[] })
  | (Extent & { readonly kind: 'zero'; readonly mayUnmap: boolean })

/** `source` null is a zeroing. */
interface Layer {
  readonly start: number
  readonly end: number
  /** Place in the history: a higher one is newer. */
  readonly order: number
  readonly source: Buffer | null
  readonly mayUnmap: boolean
}

/** The newest of the layers that reach over the sweep's place: a binary max-heap by `order`. */
class NewestFirst {
  readonly #heap: Layer[] = []

  peek(): Layer | undefined {
    return this.#heap[0]
  }

  push(layer: Layer): void {
    const heap = this.#heap
    let at = heap.push(layer) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent]!.order >= layer.order) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = layer
  }

  pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.order > heap[child]!.order) child += 1
      if (heap[child]!.order <= last.order) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

interface OpenExtent {
  readonly start: number
  end: number
  readonly mayUnmap: boolean
  /** Null for a zeroing. */
  readonly pieces: { readonly source: Buffer; readonly from: number; to: number }[] | null
}

/** Collects the sweep's output, joining neighbours (F2). */
class FoldOutput {
  readonly #done: FoldedExtent[] = []
  #open: OpenExtent | null = null

  emit(layer: Layer, start: number, end: number): void {
    const open = this.#openFor(layer, start)
    open.end = end
    if (layer.source === null) return
    const from = start - layer.start
    const to = end - layer.start
    const last = open.pieces!.at(-1)
    if (last !== undefined && last.source === layer.source && last.to === from) last.to = to
    else open.pieces!.push({ source: layer.source, from, to })
  }

  finish(): readonly FoldedExtent[] {
    this.#close()
    return this.#done
  }

  #openFor(layer: Layer, start: number): OpenExtent {
    const open = this.#open
    const isData = layer.source !== null
    const sameKind = open !== null && isData === (open.pieces !== null) && open.mayUnmap === layer.mayUnmap
    if (sameKind && open.end === start) return open
    this.#close()
    this.#open = { start, end: start, mayUnmap: layer.mayUnmap, pieces: isData ? [] : null }
    return this.#open
  }

  #close(): void {
    const open = this.#open
    if (open === null) return
    const extent = { byteOffset: open.start, byteLength: open.end - open.start }
    this.#done.push(
      open.pieces === null
        ? { ...extent, kind: 'zero', mayUnmap: open.mayUnmap }
        : {
            ...extent,
            kind: 'data',
            data: open.pieces.map((piece) => piece.source.subarray(piece.from, piece.to)),
          },
    )
    this.#open = null
  }
}

function fold(layers: readonly Layer[]): readonly FoldedExtent[] {
  const sorted = layers.toSorted((a, b) => a.start - b.start)
  const output = new FoldOutput()
  const reaching = new NewestFirst()
  let next = 0
  let place = 0
  for (;;) {
    while ((reaching.peek()?.end ?? Infinity) <= place) reaching.pop()
    if (reaching.peek() === undefined) {
      if (next === sorted.length) return output.finish()
      place = sorted[next]!.start
    }
    for (; next < sorted.length && sorted[next]!.start <= place; next += 1) reaching.push(sorted[next]!)
    const newest = reaching.peek()!
    let until = newest.end
    for (; next < sorted.length && sorted[next]!.start < until; next += 1) {
      const layer = sorted[next]!
      if (layer.order > newest.order) {
        until = layer.start
        break
      }
      // An older layer wholly under the newest one never shows.
      if (layer.end > newest.end) reaching.push(layer)
    }
    output.emit(newest, place, until)
    place = until
  }
}

/** A history of writes and zeroings to be folded. Give them in stream order; later ones win (F1). */
export class ExtentMap {
  #layers: Layer[] = []
  #dataBytes = 0

  /** Writes and zeroings put in since the last `clear`. */
  get layerCount(): number {
    return this.#layers.length
  }

  /** Bytes of data put in, before folding. */
  get dataBytes(): number {
    return this.#dataBytes
  }

  /** `data` is referred to, not copied: it must stay as it is until the result is used up. */
  write(byteOffset: number, data: Buffer): void {
    if (data.byteLength === 0) return
    this.#put({ byteOffset, byteLength: data.byteLength }, { source: data, mayUnmap: false })
    this.#dataBytes += data.byteLength
  }

  zero(extent: Extent, options: { readonly mayUnmap: boolean }): void {
    if (extent.byteLength > 0) this.#put(extent, { source: null, mayUnmap: options.mayUnmap })
  }

  /** Puts in a whole set: `payload` holds its data extents' bytes, one after another, uncompressed. */
  putSet(extents: readonly SetExtent[], payload: Buffer): void {
    for (const piece of unfoldSet(extents, payload)) {
      if (piece.kind === 'data') this.write(piece.byteOffset, piece.data)
      else this.zero(piece, piece)
    }
  }

  /** The folded extents (F1–F3); the map stays as it is. O(n log n). */
  fold(): readonly FoldedExtent[] {
    return fold(this.#layers)
  }

  clear(): void {
    this.#layers = []
    this.#dataBytes = 0
  }

  #put(extent: Extent, what: { readonly source: Buffer | null; readonly mayUnmap: boolean }): void {
    const { byteOffset, byteLength } = extent
    assert(byteOffset >= 0 && Number.isSafeInteger(byteOffset + byteLength), 'an extent lies in [0, 2^53)')
    this.#layers.push({
      start: byteOffset,
      end: byteOffset + byteLength,
      order: this.#layers.length,
      ...what,
    })
  }
}

/** One step of applying a set to a device. `data` is a view of the payload. */
export type UnfoldedExtent =
  | (Extent & { readonly kind: 'data'; readonly data: Buffer })
  | (Extent & { readonly kind: 'zero'; readonly mayUnmap: boolean })

/** The extents of a set with their bytes, ascending. `payload` is uncompressed and must be used up exactly. */
export function* unfoldSet(extents: readonly SetExtent[], payload: Buffer): Generator<UnfoldedExtent> {
  let from = 0
  for (const extent of extents) {
    if (extent.kind === 'zero') {
      yield extent
      continue
    }
    const to = from + extent.byteLength
    assert(to <= payload.byteLength, 'the payload of a set holds all its data extents')
    yield { ...extent, data: payload.subarray(from, to) }
    from = to
  }
  assert(from === payload.byteLength, 'the payload of a set holds nothing but its data extents')
}
