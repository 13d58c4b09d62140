/*
 * Invariant U1: `lowest()` is at or below every numbered sequence whose local write has not finished (S5).
 */

/** A numbered operation whose local write is still to come or under way. */
export interface UnfinishedTicket {
  finished: boolean
  readonly firstSequence: number
}

/** Which sequences of one generation are unfinished locally; numbers are taken in ascending order. */
export interface UnfinishedSequences {
  begin(firstSequence: number): UnfinishedTicket
  /** The lowest unfinished sequence, or `nextSequence` when there is none. */
  lowest(nextSequence: number): number
}

/** A queue that drops its finished head: both calls cost O(1) amortised, without a search. */
export function createUnfinishedSequences(): UnfinishedSequences {
  let tickets: UnfinishedTicket[] = []
  let head = 0
  const dropFinished = () => {
    while (tickets[head]?.finished === true) head += 1
    if (head > 1024 && head * 2 > tickets.length) {
      tickets = tickets.slice(head)
      head = 0
    }
  }
  return {
    begin(firstSequence) {
      const ticket = { finished: false, firstSequence }
      tickets.push(ticket)
      return ticket
    },
    lowest(nextSequence) {
      dropFinished()
      return tickets[head]?.firstSequence ?? nextSequence
    },
  }
}
