/** What waits for a time; equal times keep the order in which they were set. */
export interface Timer {
  readonly dueMs: number
  readonly serial: number
}

/** A binary heap, earliest first. */
export class Timers<T extends Timer> {
  readonly #heap: T[] = []

  get first(): T | undefined {
    return this.#heap[0]
  }

  push(timer: T): void {
    const heap = this.#heap
    let at = heap.push(timer) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(heap[at]!, heap[parent]!)) return
      swap(heap, at, parent)
      at = parent
    }
  }

  pop(): T | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    heap[0] = last
    for (let at = 0; ;) {
      const left = 2 * at + 1
      let least = at
      if (left < heap.length && isBefore(heap[left]!, heap[least]!)) least = left
      if (left + 1 < heap.length && isBefore(heap[left + 1]!, heap[least]!)) least = left + 1
      if (least === at) return first
      swap(heap, at, least)
      at = least
    }
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.dueMs === b.dueMs ? a.serial < b.serial : a.dueMs < b.dueMs
}

function swap(heap: unknown[], a: number, b: number): void {
  const moved = heap[a]
  heap[a] = heap[b]
  heap[b] = moved
}
