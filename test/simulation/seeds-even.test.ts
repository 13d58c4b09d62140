import { seedSuite } from './seed-suite.ts'

seedSuite(2)
