    -- One line per account: those of the current year, and whoever has data of the year; of a past one that is all.
    SELECT t.account_id, s.school_id, s.name AS school, a.band, a.grade, p.family_name, p.given_name
    FROM (
        SELECT account_id, min(school_id) AS school_id
        FROM (
            SELECT school_id, account_id FROM PRODUCT.student_accounts WHERE %(is_current)s
            UNION SELECT school_id, account_id FROM PRODUCT.usage WHERE school_year = %(school_year)s
            UNION SELECT school_id, account_id FROM PRODUCT.progress WHERE school_year = %(school_year)s
            UNION SELECT school_id, account_id FROM PRODUCT.assessments WHERE school_year = %(school_year)s
        ) somewhere
        GROUP BY account_id
    ) t
    LEFT JOIN PRODUCT.student_accounts a ON a.account_id = t.account_id
    JOIN directory.schools s ON s.school_id = coalesce(a.school_id, t.school_id)
    LEFT JOIN roster.people p ON p.sourced_id = a.person_id
