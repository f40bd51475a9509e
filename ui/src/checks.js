// The policy of the page forbids code that is made at run time, which zod would try.
import { config } from 'zod/v4/core';

config({ jitless: true });
