#include "test.h"

static void nothing(void)
{
    EXPECT(1);
}

TEST_MAIN(TEST(nothing))
