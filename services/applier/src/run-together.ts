/** A loop that runs until its signal aborts, or breaks. */
export type Loop = (signal: AbortSignal) => Promise<void>

/** Runs loops until one breaks or all end; a broken one stops the others, and its error is thrown. */
export async function runTogether(signal: AbortSignal, loops: readonly Loop[]): Promise<void> {
  const broken = new AbortController()
  const stop = AbortSignal.any([signal, broken.signal])
  let first: { readonly error: unknown } | null = null
  const run = async (loop: Loop): Promise<void> => {
    try {
      await loop(stop)
    } catch (error) {
      first ??= { error }
      broken.abort()
    }
  }
  await Promise.all(loops.map(run))
  const failed = first as { readonly error: unknown } | null
  if (failed !== null) throw failed.error
}
