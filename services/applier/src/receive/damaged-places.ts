/** Places remembered; the oldest is forgotten. */
const placesMax = 1_024

/** A stored batch that cannot be read, as one fetch met it. */
export interface DamagedPlace {
  readonly kafkaPartition: number
  readonly kafkaOffset: bigint
  readonly nextKafkaOffset: bigint
}

/** Counts how often damaged batches were tried: the damage may have happened on the way. */
export class DamagedPlaces {
  readonly #triesMax: number
  readonly #tries = new Map<string, number>()

  constructor(triesMax: number) {
    this.#triesMax = triesMax
  }

  /** Counts a try. True once there were enough: then, and for what follows it directly, the batch is left behind. */
  isGivenUp({ kafkaPartition, kafkaOffset, nextKafkaOffset }: DamagedPlace): boolean {
    const place = `${kafkaPartition}/${kafkaOffset}`
    const tries = (this.#tries.get(place) ?? 0) + 1
    this.#note(place, tries)
    if (tries <= this.#triesMax) return false
    // Where a batch ends may be a guess: if the damage goes on there, it is the same one.
    this.#note(`${kafkaPartition}/${nextKafkaOffset}`, tries)
    return true
  }

  #note(place: string, tries: number): void {
    this.#tries.delete(place)
    this.#tries.set(place, tries)
    if (this.#tries.size <= placesMax) return
    const [oldest] = this.#tries.keys()
    if (oldest !== undefined) this.#tries.delete(oldest)
  }
}
